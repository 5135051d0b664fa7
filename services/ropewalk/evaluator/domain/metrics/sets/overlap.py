"""What metrics have in common that count the words or letters an answer shares with the right ones."""

from collections.abc import Callable, Sequence

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric, Statistic
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer

_MOST_CHARACTERS = 8_000  # of a text that is compared: the longest common subsequence takes the product of two lengths


def overlap(
    name: str, definition: str, of: Callable[[str, Sequence[str]], float], statistics: tuple[Statistic, Statistic]
) -> Metric:
    """`of` is given an answer and the right ones; `statistics` are those of the level and the gain."""

    def value(answer: ExampleAnswer, item: Item) -> float:
        right = [each[:_MOST_CHARACTERS] for each in item.references]
        return of(answer.text[:_MOST_CHARACTERS], right) if answer.fits else 0.0

    level, gain = statistics
    return Metric(
        name=name,
        quantity=name.replace("_", " "),
        better="higher",
        definition=f"{definition} Correlation with people: not measured on this task set, so it is only shown. The "
        f"first {_MOST_CHARACTERS:,} characters of a text are compared.",
        select=all_of_them,
        score=of_answers(value),
        level=level,
        gain=gain,
    )
