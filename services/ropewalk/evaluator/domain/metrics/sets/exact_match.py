"""Is the text one of those that are right?"""

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer


def _value(answer: ExampleAnswer, item: Item) -> float:
    return float(answer.fits and answer.text.strip() in {each.strip() for each in item.references})


METRIC = Metric(
    name="exact_match",
    quantity="answers that are exactly right",
    better="higher",
    unit="share",
    definition="Share of greedy answers that are one of the right ones but for white space at the ends.",
    select=all_of_them,
    score=of_answers(_value, is_told=True),
    level=example_share,
    gain=paired_example_share,
)
