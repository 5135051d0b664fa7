"""Which of a model's own answers is good enough to learn from, where nobody knows the right one.

Self-consistency (arXiv 2203.11171) by fields: what several samples agree in is more often right than what one says.
"""

from collections.abc import Sequence

from ropewalk.usecases.fields import field_accuracy
from ropewalk.usecases.schema import AnswerChecker

_AGREED = 0.5  # of the fields of the other samples, on average; one that does not fit agrees in none


def choose_answer(answers: Sequence[str], num_asked: int, checker: AnswerChecker) -> str:
    """The answer that fits the schema and that the others agree with most; empty: there is none.

    `num_asked` counts also the samples that came to no end, which `answers` lacks.
    """
    checked = [(text, checker.parse(text)) for text in answers]
    fitting = [(text, each.value) for text, each in checked if each.is_valid]
    agreed = [
        sum(field_accuracy(value, other) for at, (_, other) in enumerate(fitting) if at != place)
        for place, (_, value) in enumerate(fitting)
    ]
    best = max(range(len(fitting)), key=agreed.__getitem__, default=None)
    return "" if best is None or agreed[best] < _AGREED * (num_asked - 1) else fitting[best][0]
