"""Asking the examples of a task: of the candidate, of the base model in several ways, and of what serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

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
from ropewalk.evaluator.domain.examples import Turns, are_structured, choose_examples, instructed
from ropewalk.evaluator.domain.metric import CANDIDATE, Effort, Measurement, ask
from ropewalk.evaluator.domain.metrics.answers import task_metrics
from ropewalk.evaluator.domain.roles import Rules, task_rules
from ropewalk.evaluator.domain.specialist import ShownAnswer, section, side_by_side
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.events.evaluation import Estimate
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.stages.errors import StageError
from ropewalk.usecases.comparison import TaskSection

_NOTHING_TO_ASK = (
    "no held-out example can be asked: none is a conversation that ends with an answer and that the chat template of "
    "every opponent takes: add examples, or raise evaluation.held_out_fraction"
)


@dataclass(frozen=True, kw_only=True)
class AskedTask:
    """What came of it."""

    asked: tuple[Measurement, ...]
    estimates: tuple[Estimate, ...]
    contest: Contest
    rules: Rules
    section: TaskSection
    shown: tuple[ShownAnswer, ...]


def ask_task(
    recipe: Recipe,
    held_out: Sequence[Item],
    models: Mapping[str, ScoredModel],
    shots: Sequence[Turns],
    names: tuple[str, str],
) -> AskedTask:
    """`models` are the candidate's, SHORT (the base) and, if something serves, PRODUCTION.

    `names` are the checkpoint's id and what production is called. Raises StageError where there is nothing to ask.
    """
    task, (checkpoint_id, production) = recipe.task, names
    assert task is not None, "only a recipe with a task is asked its examples"
    voices = voices_of(task, models, shots)
    examples = choose_examples(held_out, recipe.seed)
    asked = ask(task_metrics(task.json_schema), voices, examples, Effort(recipe.seed))
    if not asked:
        raise StageError(_NOTHING_TO_ASK)
    contest = _contest(checkpoint_id, voices, production)
    rules = task_rules(
        recipe.evaluation.gate,
        has_schema=task.json_schema is not None,
        is_structured=task.json_schema is not None or are_structured(asked[0].items),
    )
    estimates = estimate_all(asked, contest, rules, recipe.seed)
    counts = (len(held_out), torch.get_num_threads(), {name: voice.num_unfit for name, voice in voices.items()})
    return AskedTask(
        asked=asked,
        estimates=estimates,
        contest=contest,
        rules=rules,
        section=section(task, asked, estimates, contest, counts),
        shown=side_by_side(asked),
    )


def voices_of(task: TaskRecipe, models: Mapping[str, ScoredModel], shots: Sequence[Turns]) -> dict[str, Voice]:
    """Who answers, the candidate first. Production is always asked: it is what would be replaced."""
    told = partial(instructed, prompt=task.prompt, instruction=task.instruction)
    found = {CANDIDATE: (models[CANDIDATE], _as_it_is), SHORT: (models[SHORT], _as_it_is)}
    if INSTRUCTION in task.compare:
        found[INSTRUCTION] = (models[SHORT], told)
    if SHOTS in task.compare and shots:
        found[SHOTS] = (models[SHORT], partial(told, shots=shots))
    if PRODUCTION in models:
        found[PRODUCTION] = (models[PRODUCTION], _as_it_is)
    return {name: Voice(model, way, task.max_answer_tokens) for name, (model, way) in found.items()}


def _as_it_is(turns: Turns) -> Turns:
    return turns


def _contest(checkpoint_id: str, voices: Mapping[str, Voice], production: str) -> Contest:
    """What serves is to beat; else the base model with the instruction, else with the most that it is told."""
    names = {
        name: production if name == PRODUCTION else f"the {SUBJECTS[name]}" for name in voices if name != CANDIDATE
    }
    opponent = next(name for name in (PRODUCTION, INSTRUCTION, SHOTS, SHORT) if name in names)
    return Contest(checkpoint_id, opponent, names.pop(opponent), names)
