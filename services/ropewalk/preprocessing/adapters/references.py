"""Asks the base model about encoded answers, for a training that is told what it said. A task for some documents each.

Of preferences it is asked about the answers' own tokens; as a teacher it reads the task's instruction and is asked for
its likeliest tokens. Rows depend on the base, the documents and how they are batched, all of which are the run's, so a
replay on the same kind of machine writes the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.corpus.document import DOCUMENTS, read_documents, read_records
from ropewalk.corpus.instruction import Turns, folded, instructed
from ropewalk.corpus.references import ReferenceRows, ReferenceWriter
from ropewalk.corpus.shards import MASK, TOKENS, token_dtype
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.conversation import ConversationEncoder
from ropewalk.preprocessing.adapters.tasks import hash_of, made_once
from ropewalk.preprocessing.adapters.tokenizer import TokenizerFacts
from ropewalk.recipes.bases import base_location
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore

if TYPE_CHECKING:  # torch comes with both: only a process that asks a model loads it
    from transformers import PreTrainedModel

    from ropewalk.model.objectives.reference_pass import Lesson, Said

DOCUMENTS_A_TASK = 32  # minutes with a base of a billion weights on one core: a task says nothing before its end
_LIKELIEST = 32  # tokens of a teacher: 260 bytes for each token of an answer


@dataclass(frozen=True, kw_only=True)
class ReferenceOrder:
    """Which documents of an encoded segment the base is asked about: DOCUMENTS_A_TASK from the place `first` on."""

    part_uri: str
    cleaned_uri: str
    tokenizer: TokenizerFacts
    first: int
    recipe: Recipe
    prefix: str


def ask_reference(store: StoreAddress, order: ReferenceOrder) -> str:
    """Write a row for each of their tokens that count. Returns the key of the result."""
    objects = store.connect()

    def write(folder: Path) -> dict[str, Any]:
        from ropewalk.model.objectives.reference_pass import Asking, ask

        doc_ids, lessons = _lessons(objects.fetch(order.part_uri), order)
        model = base_model(order.recipe.base_model, base_location(order.recipe, objects))
        rows: list[Said | None]
        if order.recipe.derived.objective == "distill":
            rows = _taught(model, lessons, _conversations(objects, order, doc_ids), _Teaching(objects, order))
        else:
            rows = [*ask(model, lessons, Asking(top=0))]
        with ReferenceWriter(folder) as writer:
            for said, lesson in zip(rows, lessons, strict=True):
                writer.append(ReferenceRows(*(said or _unsaid(sum(lesson.answers), model.config.vocab_size))))
        return {"num_asked": sum(said is not None for said in rows)}

    key = f"{order.prefix}/references-{hash_of(order.part_uri, order.first, DOCUMENTS_A_TASK)}"
    return made_once(objects, key, write)


def check_asked(objects: ObjectStore, uris: Sequence[str], recipe: Recipe) -> None:
    """Raises StageError where the base could be asked about nothing: that would be a training on answers alone."""
    if any(objects.manifest(uri).meta["num_asked"] for uri in uris):
        return
    raise StageError(
        f"base_model {recipe.base_model!r} could be asked about no answer behind task.instruction: it reads too few "
        "tokens for both, or its chat template refuses them: shorten task.instruction, or choose another base_model"
    )


class _Teaching:
    """Makes the teacher's reading of a conversation."""

    def __init__(self, objects: ObjectStore, order: ReferenceOrder) -> None:
        assert order.recipe.task is not None, "a recipe without a task has no teacher"
        self.temperature, self._task = order.recipe.derived.temperature, order.recipe.task
        tokenizer = objects.fetch(order.tokenizer.uri)
        self._encoder = ConversationEncoder(tokenizer, Encoder(tokenizer))

    def lesson(self, turns: Turns, lesson: "Lesson", room: int) -> "Lesson | None":
        """The same answer behind the instruction; None if it is not the same tokens there, or there is no room."""
        from ropewalk.model.objectives.reference_pass import Lesson

        told = instructed(turns, self._task.prompt, self._task.instruction)
        encoded = self._encoder.encode(told)
        if encoded == "template_refused":
            encoded = self._encoder.encode(folded(told))
        if isinstance(encoded, str):
            return None
        ids, mask = encoded
        wanted = [token for token, counts in zip(lesson.ids, lesson.answers, strict=True) if counts]
        places = [place for place, counts in enumerate(mask) if counts][: len(wanted)]  # the student's may be cut
        if [ids[place] for place in places] != wanted or places[-1] >= room:
            return None
        told_at = set(places)
        return Lesson(ids[: places[-1] + 1], [int(place in told_at) for place in range(places[-1] + 1)])


def _taught(
    model: "PreTrainedModel", lessons: "Sequence[Lesson]", conversations: Sequence[Turns], teaching: _Teaching
) -> "list[Said | None]":
    """What the teacher says of each; None where it cannot be asked."""
    from ropewalk.model.objectives.reference_pass import Asking, ask

    room = model.config.get_text_config().max_position_embeddings
    read = [teaching.lesson(turns, each, room) for turns, each in zip(conversations, lessons, strict=True)]
    asked = [each for each in read if each is not None]
    asking = Asking(top=_LIKELIEST, temperature=teaching.temperature)
    said = iter(ask(model, asked, asking) if asked else ())
    return [None if each is None else next(said) for each in read]


def _unsaid(num_tokens: int, vocab_size: int) -> "Said":
    """Rows that say nothing of an answer, whose nats alone count then."""
    top = min(_LIKELIEST, vocab_size)
    return np.zeros((num_tokens, top), dtype=np.uint32), np.full((num_tokens, top + 1), -np.inf, dtype=np.float32)


def _conversations(objects: ObjectStore, order: ReferenceOrder, doc_ids: Sequence[str]) -> list[Turns]:
    wanted = set(doc_ids)
    cleaned = read_documents(objects.fetch(order.cleaned_uri) / DOCUMENTS)
    found = {document.doc_id: document.messages for document in cleaned if document.doc_id in wanted}
    return [found[doc_id] for doc_id in doc_ids]


def _lessons(part: Path, order: ReferenceOrder) -> "tuple[list[str], list[Lesson]]":
    """Of each document its id and its tokens."""
    from ropewalk.model.objectives.reference_pass import Lesson

    tokens = np.memmap(part / TOKENS, dtype=token_dtype(order.tokenizer.vocab_size), mode="r")
    mask = np.memmap(part / MASK, dtype=np.uint8, mode="r")
    records = list(read_records(part / DOCUMENTS))[order.first : order.first + DOCUMENTS_A_TASK]
    places = (slice(each["start"], each["start"] + each["length"]) for each in records)
    lessons = [Lesson(tokens[place].tolist(), mask[place].tolist()) for place in places]
    return [each["doc_id"] for each in records], lessons


@lru_cache(maxsize=1)  # a worker of Ray works on many tasks
def base_model(name: str, location: str) -> "PreTrainedModel":
    """The model at a place. Raises StageError with its name."""
    from ropewalk.model.weights import load_model

    try:
        return load_model(location)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(f"base_model {name!r} cannot be loaded: {reason}") from None
