"""Is the answer exactly the wanted one?"""

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.usecases.fields import field_accuracy
from ropewalk.usecases.schema import AnswerChecker


def metric(checker: AnswerChecker) -> Metric:
    """For every task."""

    def value(answer: ExampleAnswer, item: Item) -> float:
        wanted = checker.parse(item.reference)
        if not wanted.is_json:
            return float(answer.fits and answer.text.strip() == item.reference.strip())
        given = checker.parse(answer.text)
        return float(given.is_json and field_accuracy(given.value, wanted.value) == 1)

    return Metric(
        name="exact_match",
        quantity="answers that are exactly right",
        better="higher",
        unit="share",
        definition=(
            "Share of answers that are right in every field and have nothing else in them, no text around the JSON "
            "either; of texts: the same text but for white space at its ends."
        ),
        select=all_of_them,
        score=of_answers(value),
        level=example_share,
        gain=paired_example_share,
    )
