"""Asking the examples of a task: of the candidate, of the base model in several ways, and of what serves."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ropewalk.corpus.instruction import Turns, instructed
from ropewalk.evaluator.adapters.batched_greedy import MOST_ROWS
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.domain.estimates import (
    INSTRUCTION,
    PRODUCTION,
    SHORT,
    SHOTS,
    SUBJECTS,
    Contest,
    estimate_all,
)
from ropewalk.evaluator.domain.examples import are_structured, choose_examples
from ropewalk.evaluator.domain.metric import CANDIDATE, Effort, Measurement, ask
from ropewalk.evaluator.domain.metrics.answers import task_metrics
from ropewalk.evaluator.domain.roles import Rules, task_rules, with_preference
from ropewalk.evaluator.domain.specialist import ShownAnswer, section, side_by_side
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.stages.errors import StageError
from ropewalk.statistics.intervals import LEVEL
from ropewalk.usecases.comparison import TaskSection

_NOTHING_TO_ASK = (
    "no held-out example can be asked: none is a conversation that ends with an answer and that the chat template of "
    "every opponent takes: add examples, or raise evaluation.held_out_fraction"
)

_TELL_S = 5.0
_FIRST_ROUND = 16  # examples: enough to see how long the others take


@dataclass(frozen=True)
class Patience:
    """Minutes in which the examples may be asked, and who is told how many answers of how many there are.

    `times` as many are asked as at the first look, in as many times the minutes. `level` is that of the primary gain.
    """

    minutes: float
    report: Callable[[object], None] = lambda _: None
    times: int = 1
    level: float = LEVEL


class AnswersProgress:
    """Tells how many answers there are, every few seconds while they come."""

    def __init__(self, report: Callable[[object], None], total: int) -> None:
        self._report, self._total = report, total
        self._done, self._told_at = 0, 0.0

    def more(self, num: int) -> None:
        """So many more."""
        self._done += num
        if time.monotonic() - self._told_at >= _TELL_S:
            self.tell(self._done)

    def tell(self, done: int) -> None:
        """Now."""
        self._done, self._told_at = done, time.monotonic()
        self._report((done, self._total))


@dataclass(frozen=True, kw_only=True)
class AskedTask:
    """What came of it."""

    asked: tuple[Measurement, ...]
    contest: Contest
    rules: Rules
    section: TaskSection
    shown: tuple[ShownAnswer, ...]
    num_left: int  # examples that the next look would ask, too


def ask_task(
    recipe: Recipe,
    held_out: Sequence[Item],
    models: Mapping[str, ScoredModel],
    shots: Sequence[Turns],
    names: tuple[str, str],
    patience: Patience,
) -> AskedTask:
    """`models` are the candidate's, SHORT (the base) and, if something serves, PRODUCTION.

    `names` are the checkpoint's id and what production is called. What not all could answer in time is left out.
    Raises StageError where there is nothing to ask, or nothing was answered in time.
    """
    task, (checkpoint_id, production) = recipe.task, names
    assert task is not None, "only a recipe with a task is asked its examples"
    voices = voices_of(task, models, shots, time.monotonic() + 60 * patience.minutes)
    examples = choose_examples(held_out, recipe.seed, patience.times)
    taken = [item for item in examples.items if all(voice.takes(item) for voice in voices.values())]
    if not taken:
        raise StageError(_NOTHING_TO_ASK)
    answered = replace(examples, items=tuple(taken[: answer_in_time(voices, taken, patience)]))
    asked = ask(task_metrics(task.json_schema), voices, answered, Effort(recipe.seed))
    contest = _contest(checkpoint_id, voices, production)
    rules = task_rules(
        recipe.evaluation.gate,
        has_schema=task.json_schema is not None,
        is_structured=task.json_schema is not None or are_structured(asked[0].items),
    )
    rules = with_preference(rules) if recipe.derived.objective == "dpo" else rules
    estimates = estimate_all(asked, contest, rules, recipe.seed)
    counts = (
        len(held_out),
        torch.get_num_threads(),
        {name: voice.num_unfit(answered.items) for name, voice in voices.items()},
    )
    num_more = len(choose_examples(held_out, recipe.seed, 2 * patience.times).items) - len(examples.items)
    minutes = patience.minutes if len(answered.items) < len(taken) else 0.0
    return AskedTask(
        asked=asked,
        contest=contest,
        rules=rules,
        section=section(task, asked, estimates, contest, counts).model_copy(update={"minutes": minutes}),
        shown=side_by_side(asked),
        num_left=num_more + len(taken) - len(answered.items),
    )


def voices_of(
    task: TaskRecipe, models: Mapping[str, ScoredModel], shots: Sequence[Turns], until: float
) -> dict[str, Voice]:
    """Who answers, the candidate first. Production is always asked: it is what would be replaced."""
    told = partial(instructed, prompt=task.prompt, instruction=task.instruction)
    found = {CANDIDATE: (models[CANDIDATE], as_it_is), SHORT: (models[SHORT], as_it_is)}
    if INSTRUCTION in task.compare:
        found[INSTRUCTION] = (models[SHORT], told)
    if SHOTS in task.compare and shots:
        found[SHOTS] = (models[SHORT], partial(told, shots=shots))
    if PRODUCTION in models:
        found[PRODUCTION] = (models[PRODUCTION], as_it_is)
    return {name: Voice(model, way, task.max_answer_tokens, until) for name, (model, way) in found.items()}


def answer_in_time(voices: Mapping[str, Voice], items: Sequence[Item], patience: Patience) -> int:
    """Round after round, each asked of everybody, while time is left. Returns how many items all have answered.

    The items come in hash order, so that the first of them are a fair sample. Raises StageError where it is none.
    """
    began, num_done = time.monotonic(), 0
    progress = AnswersProgress(patience.report, len(items) * len(voices))
    progress.tell(0)
    for voice in voices.values():
        voice.expect(items)
    try:
        while num_done < len(items):
            left_s = began + 60 * patience.minutes - time.monotonic()
            paced = left_s / (time.monotonic() - began) * num_done if num_done else _FIRST_ROUND
            asked = items[num_done : num_done + int(min(paced, MOST_ROWS))]
            if not asked:
                break
            for place, voice in enumerate(voices.values(), start=1):
                voice.answers(asked, progress.more)
                progress.tell(num_done * len(voices) + place * len(asked))
            num_done += len(asked)
    except TimeoutError:
        pass  # the last round was begun in vain
    if not num_done:
        raise StageError(
            f"not even {min(_FIRST_ROUND, len(items))} held-out examples were answered by {', '.join(voices)} within "
            f"{patience.minutes:g} minutes: raise evaluator_task_minutes, or lower task.max_answer_tokens or compare "
            "with fewer opponents (task.compare)"
        )
    return num_done


def as_it_is(turns: Turns) -> Turns:
    """What a model reads that is told nothing else."""
    return turns


def _contest(checkpoint_id: str, voices: Mapping[str, Voice], production: str) -> Contest:
    """What serves is to beat; else the base model with the instruction, else with the most that it is told."""
    names = {
        name: production if name == PRODUCTION else f"the {SUBJECTS[name]}" for name in voices if name != CANDIDATE
    }
    opponent = next(name for name in (PRODUCTION, INSTRUCTION, SHOTS, SHORT) if name in names)
    return Contest(checkpoint_id, opponent, names.pop(opponent), names)
