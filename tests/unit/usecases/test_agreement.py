"""Of a model's own answers the one is learnt that fits the schema and that others agree with."""

import pytest

from ropewalk.usecases.agreement import choose_answer
from ropewalk.usecases.schema import AnswerChecker

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a"],
}
ONE, TWO, FAR = '{"a":1,"b":2}', '{"a":1,"b":3}', '{"a":7,"b":8}'


@pytest.mark.parametrize(
    ("answers", "num_asked", "chosen"),
    [
        ([ONE], 1, ONE),
        (["no JSON"], 1, ""),
        (['{"b":1}'], 1, ""),
        ([], 3, ""),
        ([FAR, ONE, ONE], 3, ONE),
        ([ONE, FAR], 2, ""),
        ([ONE], 2, ""),  # the other sample came to no end, so nothing agrees
        ([ONE, ONE, "no", "no"], 4, ""),
        ([ONE, ONE, ONE, "no"], 4, ONE),
        ([TWO, ONE, ONE, FAR], 4, ONE),
        ([TWO, ONE, FAR, "no"], 4, ""),
        ([TWO, ONE, ONE, ONE], 4, ONE),
    ],
)
def test_an_answer_is_taken_that_fits_and_agrees_in_half_of_the_fields(
    answers: list[str], num_asked: int, chosen: str
) -> None:
    assert choose_answer(answers, num_asked, AnswerChecker(SCHEMA)) == chosen
