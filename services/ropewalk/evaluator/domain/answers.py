"""What metrics have in common that look at whole answers to the examples of a task."""

from collections.abc import Callable, Sequence

from ropewalk.evaluator.domain.metric import Effort, Finding
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import ExampleAnswer, Scorer


def all_of_them(examples: TaskSet, _: Effort) -> TaskSet:
    """The `select` of such a metric: examples were chosen before."""
    return examples


def of_answers(
    value: Callable[[ExampleAnswer, Item], float], *, is_told: bool = False
) -> Callable[[Scorer, Sequence[Item]], list[Finding] | None]:
    """The `score` of a metric by its `value` of an answer. `is_told`: answers are kept beside the scores."""

    def score(scorer: Scorer, items: Sequence[Item]) -> list[Finding] | None:
        said = scorer.answers(items)
        if said is None:
            return None
        return [
            Finding(value(answer, item), answer.text if is_told else "")
            for answer, item in zip(said, items, strict=True)
        ]

    return score
