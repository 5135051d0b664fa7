"""The metrics of a task: all of them look at the same answers to held-out examples."""

from pydantic import JsonValue

from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.metrics.answers import exact_match, field_accuracy, schema_validity, spent
from ropewalk.usecases.schema import AnswerChecker


def task_metrics(json_schema: dict[str, JsonValue] | None) -> tuple[Metric, ...]:
    """In the order of the report; without a schema there is no validity."""
    checker = AnswerChecker(json_schema)
    valid = (schema_validity.metric(checker),) if json_schema is not None else ()
    return (*valid, field_accuracy.metric(checker), exact_match.metric(checker), *spent.METRICS)
