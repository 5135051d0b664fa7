"""What baking a task will take and save, before it: tokens of a request now and after, seconds, time and price.

Tokens are counted with the base model's own template and tokenizer. Seconds of an answer, and of judging the model,
are an estimate from the number of operations, until an evaluation has measured them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from ropewalk.corpus.document import ChatMessage, message_records
from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE, LEAST_SHARE
from ropewalk.corpus.packing import cut_sentence
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Content, Limits
from ropewalk.corpus.task_checks import ExamplesSeen, look_at_examples, placed_examples, task_violations
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.recipes.bases import shape_of_folder
from ropewalk.recipes.device_table import DEVICES
from ropewalk.recipes.model_shape import ModelShape, shape_of
from ropewalk.recipes.quotation import Quote, quote
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.usecases.smaller_runs import all_smaller

_SAMPLE = 200  # examples whose tokens are counted
_MOST, _STEP, _LEAST_WINDOW = 0.99, 128, 512  # of the examples a window holds; tokens it grows by, and begins with
_ANSWER_WEIGHT = 3  # a token that is written at full batch takes about as long as so many that are read together
_TOGETHER_WEIGHT = 5  # the same in an evaluation's batches, and its cores (benchmarks/results/specialist.json:
_CORES, _JUDGE_START_S = 2, 20.0  # 226 s for four ways of asking 75 examples, 231 by this)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Means over `num_counted` examples: tokens sent with the instruction and without it, tokens that come back.

    `num_cut` of them are longer than a window, and one of `window` tokens holds 99 %. `seconds_now` and `seconds_after`
    are of one core, estimated.
    """

    num_counted: int
    num_cut: int
    window: int
    now: float
    after: float
    answer: float
    seconds_now: float
    seconds_after: float

    def too_long(self, recipe: Recipe) -> str:
        """What the window loses, with the remedy; empty: nothing."""
        return cut_sentence(self.num_cut, self.num_counted, recipe.derived.context_length, self.window)


@dataclass(frozen=True, kw_only=True)
class Baking:
    """`requests` and `training` are None, `judging_s` 0 where the base model does not lie in a folder here."""

    seen: ExamplesSeen
    violations: tuple[str, ...]
    num_held_out: int
    requests: Requests | None = None
    training: Quote | None = None
    judging_s: float = 0.0  # of asking all held-out examples, without what is in production
    curve: tuple[Quote, ...] = ()  # trainings of the smaller runs, where a learning curve is asked for
    curve_judging_s: float = 0.0


def look_at_baking(asked: tuple[Recipe, Path | None], _: Callable[[object], None]) -> Baking:
    """Read the examples and count, with the base model in a folder that has no fault. For a child process."""
    recipe, folder = asked
    seen = look_at_examples((recipe, Limits(), ANYWHERE), _)
    violations, held_out = task_violations(recipe, seen), _num_held_out(recipe, seen.num_examples)
    if violations or folder is None or recipe.task is None:
        return Baking(seen=seen, violations=violations, num_held_out=held_out)
    requests = _count(recipe, recipe.task, folder)
    if 2 * requests.num_cut > requests.num_counted:  # for which preprocessing would end the run
        return Baking(seen=seen, violations=(requests.too_long(recipe),), num_held_out=held_out, requests=requests)
    judging_s = _judging_s(recipe, recipe.task, requests, held_out)
    smalls = all_smaller(recipe)
    return Baking(
        seen=seen,
        violations=(),
        num_held_out=held_out,
        requests=requests,
        training=quote(recipe),
        judging_s=judging_s,
        curve=tuple(map(quote, smalls)),
        curve_judging_s=sum(_judging_s(each, each.task, requests, held_out) for each in smalls if each.task),
    )


def window_for_most(asked: tuple[Recipe, Path], _: Callable[[object], None]) -> int:
    """Tokens of a window that holds 99 % of the examples, 512 at least and no more than the base in the folder reads.

    0: it cannot be told, and what is wrong is found where a run is checked. For a child process.
    """
    recipe, folder = asked
    shape = shape_of_folder(folder)
    try:
        with _reading(folder) as (renderer, encoder):
            lengths = [_length(turns, renderer, encoder) for turns in _sample(recipe)]
    except (OSError, ValueError, ChatTemplateError):
        return 0
    return min(shape.context_length, max(_LEAST_WINDOW, _window(lengths))) if shape is not None and lengths else 0


def _window(lengths: Sequence[int]) -> int:
    return -(-sorted(lengths)[int(_MOST * (len(lengths) - 1))] // _STEP) * _STEP


def _sample(recipe: Recipe) -> list[tuple[ChatMessage, ...]]:
    placed = placed_examples(recipe.sources, Limits(), ANYWHERE)
    answered = (content.messages for _, content in placed if isinstance(content, Content) and content.is_answered)
    return list(islice(answered, _SAMPLE))


@contextmanager
def _reading(folder: Path) -> Iterator[tuple[ChatRenderer, Encoder]]:
    renderer = ChatRenderer(folder)
    try:
        yield renderer, Encoder(folder)
    finally:
        renderer.close()


def _length(turns: Sequence[ChatMessage], renderer: ChatRenderer, encoder: Encoder) -> int:
    return len(encoder.prompt(renderer.conversation(message_records(turns))).ids)


def _count(recipe: Recipe, task: TaskRecipe, folder: Path) -> Requests:
    examples, shape = _sample(recipe), shape_of(recipe.derived)
    with _reading(folder) as (renderer, encoder):

        def sent(system: str, user: str) -> int:
            turns = [{"role": "system", "content": system}] if system else []
            return len(encoder.prompt(renderer.prompt([*turns, {"role": "user", "content": user}])).ids)

        now = fmean(sent(task.instruction, turns[-2].content) for turns in examples)
        after = fmean(sent(task.prompt, turns[-2].content) for turns in examples)
        answer = fmean(len(encoder.text(turns[-1].content)) for turns in examples)
        lengths = [_length(turns, renderer, encoder) for turns in examples]
    return Requests(
        num_counted=len(examples),
        num_cut=sum(length > recipe.derived.context_length for length in lengths),
        window=_window(lengths),
        now=now,
        after=after,
        answer=answer,
        seconds_now=_seconds(shape, now, answer),
        seconds_after=_seconds(shape, after, answer),
    )


def num_ways(task: TaskRecipe) -> int:
    """In which each held-out example is asked: of the candidate, the base, and the opponents that need no history."""
    return 2 + len({"instruction", "shots"} & set(task.compare))


def _judging_s(recipe: Recipe, task: TaskRecipe, counted: Requests, num_held_out: int) -> float:
    """The candidate answers as the examples do, others as long as they may; what all begin with is read once."""
    ways = num_ways(task)
    written = counted.answer + (ways - 1) * task.max_answer_tokens
    tokens = ways * counted.after + _TOGETHER_WEIGHT * written
    return _JUDGE_START_S + num_held_out * tokens * _token_s(shape_of(recipe.derived)) / _CORES


def _seconds(shape: ModelShape, prompt: float, answer: float) -> float:
    """Of one core at full batch: a third of the operations of a training's token, at the rate of large products."""
    return (prompt + _ANSWER_WEIGHT * answer) * _token_s(shape)


def _token_s(shape: ModelShape) -> float:
    return shape.flops_per_token / 3 / (DEVICES["cpu"].gemm_tflops * 1e12)


def _num_held_out(recipe: Recipe, num_examples: int) -> int:
    """About so many, as preprocessing draws them."""
    least = min(DOCUMENTS_TO_JUDGE, int(LEAST_SHARE * num_examples))
    return max(1, least, round(recipe.evaluation.held_out_fraction * num_examples)) if num_examples else 0
