"""What baking a task will take and save, before it: tokens of a request now and after, seconds, time and price.

Tokens are counted with the base model's own template and tokenizer. Seconds of an answer are an estimate from the
number of operations, until an evaluation has measured them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from ropewalk.corpus.document import ChatMessage
from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE, LEAST_SHARE
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Content, Limits
from ropewalk.corpus.task_checks import ExamplesSeen, look_at_examples, placed_examples, task_violations
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.recipes.device_table import DEVICES
from ropewalk.recipes.model_shape import ModelShape, shape_of
from ropewalk.recipes.quotation import Quote, quote
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.task import TaskRecipe

_SAMPLE = 50  # examples whose tokens are counted
_ANSWER_WEIGHT = 10  # a token that is written takes about as long as so many that are read together


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Means over `num_counted` examples: tokens sent with the instruction and without it, tokens that come back.

    `seconds_now` and `seconds_after` are of one core, estimated.
    """

    num_counted: int
    now: float
    after: float
    answer: float
    seconds_now: float
    seconds_after: float


@dataclass(frozen=True, kw_only=True)
class Baking:
    """`requests` and `training` are None where the base model does not lie in a folder here."""

    seen: ExamplesSeen
    violations: tuple[str, ...]
    num_held_out: int
    requests: Requests | None = None
    training: Quote | None = None


def look_at_baking(asked: tuple[Recipe, Path | None], _: Callable[[object], None]) -> Baking:
    """Read the examples and count, with the base model in a folder that has no fault. For a child process."""
    recipe, folder = asked
    seen = look_at_examples((recipe, Limits(), ANYWHERE), _)
    violations, held_out = task_violations(recipe, seen), _num_held_out(recipe, seen.num_examples)
    if violations or folder is None or recipe.task is None:
        return Baking(seen=seen, violations=violations, num_held_out=held_out)
    placed = placed_examples(recipe.sources, Limits(), ANYWHERE)
    examples = (content.messages for _, content in placed if isinstance(content, Content) and content.is_answered)
    requests = _count(recipe.task, list(islice(examples, _SAMPLE)), folder, shape_of(recipe.derived))
    return Baking(seen=seen, violations=(), num_held_out=held_out, requests=requests, training=quote(recipe))


def _count(task: TaskRecipe, examples: Sequence[Sequence[ChatMessage]], folder: Path, shape: ModelShape) -> Requests:
    renderer, encoder = ChatRenderer(folder), Encoder(folder)

    def sent(system: str, user: str) -> int:
        turns = [{"role": "system", "content": system}] if system else []
        return len(encoder.prompt(renderer.prompt([*turns, {"role": "user", "content": user}])).ids)

    try:
        now = fmean(sent(task.instruction, turns[-2].content) for turns in examples)
        after = fmean(sent(task.prompt, turns[-2].content) for turns in examples)
    finally:
        renderer.close()
    answer = fmean(len(encoder.text(turns[-1].content)) for turns in examples)
    return Requests(
        num_counted=len(examples),
        now=now,
        after=after,
        answer=answer,
        seconds_now=_seconds(shape, now, answer),
        seconds_after=_seconds(shape, after, answer),
    )


def _seconds(shape: ModelShape, prompt: float, answer: float) -> float:
    """Of one core: a third of the operations of a training step's token, at the rate of large products."""
    forward = shape.flops_per_token / 3
    return (prompt + _ANSWER_WEIGHT * answer) * forward / (DEVICES["cpu"].gemm_tflops * 1e12)


def _num_held_out(recipe: Recipe, num_examples: int) -> int:
    """About so many, as preprocessing draws them."""
    least = min(DOCUMENTS_TO_JUDGE, int(LEAST_SHARE * num_examples))
    return max(1, least, round(recipe.evaluation.held_out_fraction * num_examples)) if num_examples else 0
