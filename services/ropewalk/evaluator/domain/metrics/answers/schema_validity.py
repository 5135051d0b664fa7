"""Is the answer JSON that fits the schema, though nothing made it so?"""

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.usecases.schema import AnswerChecker


def metric(checker: AnswerChecker) -> Metric:
    """For a task with a schema."""
    return Metric(
        name="schema_validity",
        quantity="valid answers",
        better="higher",
        unit="share",
        definition=(
            "Share of greedy answers that are, as a whole and without constrained decoding, JSON that the task's "
            "schema accepts. Text before or after the JSON makes an answer invalid."
        ),
        select=all_of_them,
        score=of_answers(lambda answer, _: float(checker.parse(answer.text).is_valid)),
        level=example_share,
        gain=paired_example_share,
    )
