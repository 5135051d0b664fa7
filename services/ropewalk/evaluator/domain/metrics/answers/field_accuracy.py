"""How much of the wanted record is in the answer?"""

import json

from pydantic import JsonValue

from ropewalk.evaluator.domain.answers import all_of_them, of_answers
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_mean, example_mean_gain
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.usecases.fields import field_accuracy
from ropewalk.usecases.schema import AnswerChecker

_MOST_CHARACTERS = 65_536  # of an answer that are searched for JSON
_MOST_BEGINNINGS = 32  # braces that are tried


def found_in(text: str) -> JsonValue:
    """The first JSON object or array in a text; None where there is none."""
    text, decoder, begin = text[:_MOST_CHARACTERS], json.JSONDecoder(), -1
    for _ in range(_MOST_BEGINNINGS):
        places = [place for mark in "{[" if (place := text.find(mark, begin + 1)) >= 0]
        if not places:
            break
        begin = min(places)
        try:
            value: JsonValue = decoder.raw_decode(text, begin)[0]
        except (ValueError, RecursionError):
            continue
        return value
    return None


def metric(checker: AnswerChecker) -> Metric:
    """For every task; of texts it is the exact match."""

    def value(answer: ExampleAnswer, item: Item) -> float:
        wanted, given = checker.parse(item.reference), checker.parse(answer.text)
        if not wanted.is_json:
            return float(answer.fits and answer.text.strip() == item.reference.strip())
        return field_accuracy(given.value if given.is_json else found_in(answer.text), wanted.value)

    return Metric(
        name="field_accuracy",
        quantity="right fields",
        better="higher",
        unit="share",
        definition=(
            "Mean over the examples of the share of fields (leaves of the record) that are right: those with an equal "
            "value over all that the wanted record or the answer has, so that an invented field is a miss. An answer "
            "with text around its JSON is judged by the first JSON object or array in it, so that only schema_validity "
            "pays for the text. Answers that are no JSON by the task: exact match."
        ),
        select=all_of_them,
        score=of_answers(value, is_told=True),
        level=example_mean,
        gain=example_mean_gain,
    )
