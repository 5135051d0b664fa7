"""The part of a report that is about a task: every opponent by every metric, and examples side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.evaluator.domain.estimates import Contest
from ropewalk.evaluator.domain.examples import MOST_EXAMPLES
from ropewalk.evaluator.domain.metric import CANDIDATE, Measurement
from ropewalk.events.evaluation import Estimate
from ropewalk.recipes.task import TaskRecipe
from ropewalk.usecases.comparison import TaskSection

_NUM_SHOWN, _SHOWN_CHARACTERS = 6, 2000
_ASKED = (
    f"At most {MOST_EXAMPLES} held-out conversations in hash order. Every opponent answers each of them greedily and "
    "without constrained decoding. base: the base model with the short prompt; instruction: with the instruction in "
    "its place; shots: with worked examples of the training set, too; production: what serves, with the short prompt."
)
_UNFIT = (
    "How often an opponent was not asked, because prompt and max_answer_tokens are more than its context holds: a miss "
    "by every metric of quality, and no tokens or seconds of an answer."
)


@dataclass(frozen=True)
class ShownAnswer:
    """An example with what was wanted and what each said."""

    path: str
    question: str
    wanted: str
    said: dict[str, str]


def section(
    task: TaskRecipe,
    asked: Sequence[Measurement],
    estimates: Sequence[Estimate],
    contest: Contest,
    counts: tuple[int, int, dict[str, int]],
) -> TaskSection:
    """From all estimates; `counts`: held-out examples, threads, and by scorer the examples that did not fit."""
    found = {each.metric: each for each in estimates}
    scorers, metrics = asked[0].scorers, [each.metric for each in asked]
    prefix = {scorer: "" if scorer == CANDIDATE else f"{scorer}_" for scorer in scorers}
    return TaskSection(
        opponent=contest.opponent,
        num_examples=len(asked[0].rows),
        num_held_out=counts[0],
        num_threads=counts[1],
        has_schema=task.json_schema is not None,
        num_shots=task.shots,
        max_answer_tokens=task.max_answer_tokens,
        levels={scorer: {metric.name: found[prefix[scorer] + metric.name] for metric in metrics} for scorer in scorers},
        gains={
            scorer: {metric.name: found[contest.gain_name(metric.name, scorer)] for metric in metrics}
            for scorer in scorers
            if scorer != CANDIDATE
        },
        num_unfit=counts[2],
        definitions={metric.name: metric.definition for metric in metrics} | {"examples": _ASKED, "unfit": _UNFIT},
    )


def side_by_side(asked: Sequence[Measurement]) -> tuple[ShownAnswer, ...]:
    """The first examples in hash order, whatever was answered to them."""
    told = next(each for each in asked if any(row.said for row in each.rows))
    return tuple(
        ShownAnswer(
            row.path,
            item.turns[-1].content[:_SHOWN_CHARACTERS],
            item.reference[:_SHOWN_CHARACTERS],
            {scorer: row.said.get(scorer, "")[:_SHOWN_CHARACTERS] for scorer in told.scorers},
        )
        for row, item in zip(told.rows[:_NUM_SHOWN], told.items, strict=False)
    )
