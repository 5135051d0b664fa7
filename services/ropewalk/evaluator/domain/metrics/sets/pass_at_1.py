"""Does the program that was written pass the tests of its item?"""

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer


def _value(answer: ExampleAnswer, _: Item) -> float:
    return float(answer.fits and answer.passed)


METRIC = Metric(
    name="pass_at_1",
    quantity="programs that pass their tests",
    better="higher",
    unit="share",
    definition=(
        "Share of greedy answers that pass the tests of their item: pass@1 of Chen et al. 2021 (arXiv 2107.03374) with "
        "one answer. Prompt, answer and tests are run as one program, apart from everything."
    ),
    select=all_of_them,
    score=of_answers(_value, is_told=True),
    level=example_share,
    gain=paired_example_share,
)
