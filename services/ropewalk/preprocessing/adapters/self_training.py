"""Answers of the base model, behind the task's instruction, to inputs that have none: rejection-sampled self-training.

A task of Ray for some documents of a segment. What is drawn depends on the recipe's seed and the input alone.
"""

import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.corpus.document import (
    DOCUMENTS,
    SYNTHETIC,
    ChatMessage,
    Document,
    message_records,
    read_documents,
    write_documents,
)
from ropewalk.corpus.instruction import folded, instructed
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.preprocessing.adapters.references import base_model
from ropewalk.preprocessing.adapters.tasks import hash_of, made_once
from ropewalk.preprocessing.adapters.tokenizer import adopt_tokenizer, describe
from ropewalk.recipes.bases import base_location
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore
from ropewalk.usecases.agreement import choose_answer
from ropewalk.usecases.schema import AnswerChecker

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INPUTS_A_TASK = 4  # as for references
_TEMPERATURE = 0.7


@dataclass(frozen=True, kw_only=True)
class AnswerOrder:
    """Which documents of a segment are answered, where they have no answer: INPUTS_A_TASK from the place `first` on."""

    segment_uri: str
    first: int
    recipe: Recipe
    prefix: str


def answer_inputs(store: StoreAddress, order: AnswerOrder) -> str:
    """Write the documents, with the answers that are good enough. Returns the key of the result."""
    objects = store.connect()

    def write(folder: Path) -> dict[str, Any]:
        all_of_it = read_documents(objects.fetch(order.segment_uri) / DOCUMENTS)
        documents = list(islice(all_of_it, order.first, order.first + INPUTS_A_TASK))
        asked = [document for document in documents if document.is_unanswered]
        answers = dict(zip(asked, _answers(asked, order, objects), strict=True)) if asked else {}
        write_documents(folder / DOCUMENTS, (_answered(each, answers.get(each, "")) for each in documents))
        return {}

    return made_once(objects, f"{order.prefix}/answers-{hash_of(order.segment_uri, order.first, INPUTS_A_TASK)}", write)


def _answered(document: Document, answer: str) -> Document:
    if not answer:
        return document
    turn = ChatMessage(role="assistant", content=answer)
    return replace(document, messages=(*document.messages, turn), source=SYNTHETIC)


def _answers(documents: Sequence[Document], order: AnswerOrder, objects: ObjectStore) -> list[str]:
    from ropewalk.model.objectives.reference_pass import read_shared

    recipe, location = order.recipe, base_location(order.recipe, objects)
    task, model = recipe.task, base_model(recipe.base_model, location)
    assert task is not None, "only a recipe with a task has inputs"
    with tempfile.TemporaryDirectory() as scratch:
        adopt_tokenizer(location, Path(scratch), for_chat=True)
        encoder, renderer = Encoder(Path(scratch)), ChatRenderer(Path(scratch))
        end = describe(Path(scratch), "").eos_id
        try:
            prompts = [_prompt(document, task, encoder, renderer) for document in documents]
        finally:
            renderer.close()
    room = model.config.get_text_config().max_position_embeddings - task.max_answer_tokens
    prompts = [prompt if len(prompt) <= room else [] for prompt in prompts]
    _, cache = read_shared(model, [prompt[:-1] for prompt in prompts if prompt])
    checker, chosen = AnswerChecker(task.json_schema), []
    for document, prompt in zip(documents, prompts, strict=True):
        said = _sample(model, prompt, deepcopy(cache), (task, end, recipe.seed ^ int(document.doc_id[:12], 16)))
        texts = [str(encoder.tokenizer.decode(ids, skip_special_tokens=True)) for ids in said]
        chosen.append(choose_answer(texts, task.samples, checker))
    return chosen


def _prompt(document: Document, task: TaskRecipe, encoder: Encoder, renderer: ChatRenderer) -> list[int]:
    """Empty where the template takes the input in neither form."""
    told = instructed(document.messages, task.prompt, task.instruction)
    for turns in (told, folded(told)):
        try:
            return encoder.prompt(renderer.prompt(message_records(turns))).ids
        except ChatTemplateError:
            continue
    return []


def _sample(
    model: "PreTrainedModel", prompt: Sequence[int], cache: Any, how: tuple[TaskRecipe, int, int]
) -> list[list[int]]:
    """Answers that ended themselves, without their end; none without a prompt."""
    import torch
    from transformers import GenerationConfig

    task, end, seed = how
    if not prompt:
        return []
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = {end, *(own if isinstance(own, list) else [] if own is None else [own])}
    config = GenerationConfig(
        do_sample=True,
        temperature=_TEMPERATURE,
        top_k=0,
        max_new_tokens=task.max_answer_tokens,
        eos_token_id=sorted(ends),
        pad_token_id=end,
    )
    tokens = torch.tensor([list(prompt)] * task.samples)
    if cache is not None:
        cache.batch_repeat_interleave(task.samples)
    torch.manual_seed(seed)
    said = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), past_key_values=cache, generation_config=config
    )[:, len(prompt) :].tolist()
    ended = ((row, next((at for at, token in enumerate(row) if token in ends), None)) for row in said)
    return [row[:at] for row, at in ended if at is not None]
