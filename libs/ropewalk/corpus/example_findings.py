"""What is wrong with a file of examples, by line: what cannot be learned from, and what would teach wrong things.

What looks like personal data is found by its form alone: there is more of it than that, and some of it is none.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import quantiles

from pydantic import JsonValue

from ropewalk.corpus.reading.examples import INPUT
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.task_checks import placed_examples
from ropewalk.events.foreign import one_line
from ropewalk.recipes.formats import JSON_LINES
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.usecases.schema import AnswerChecker

MOST_RECORDS = 200_000
_MOST_PLACES = 10  # of a finding that are named
_PERSONAL: Mapping[str, re.Pattern[str]] = {
    "e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,100}"),
    "telephone number": re.compile(r"(?<!\w)\+\d[\d ()/-]{7,18}\d(?!\w)"),
    "bank account (IBAN)": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"),
    "card number": re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)"),
}


@dataclass
class ExampleFinding:
    """Of one kind: how many records, and the first places, with a detail where one helps."""

    kind: str
    num_records: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, place: str, detail: str = "") -> None:
        """Count a record."""
        self.num_records += 1
        if len(self.places) < _MOST_PLACES:
            self.places.append(f"{place} ({detail})" if detail else place)


@dataclass(frozen=True, kw_only=True)
class CheckedExamples:
    """Lengths are characters: median, 95 % and longest of inputs and of answers. `commonest` is an answer's share.

    `num_synthetic` of the examples were written by a model.
    """

    num_examples: int
    num_synthetic: int
    is_all: bool
    findings: tuple[ExampleFinding, ...]
    input_chars: tuple[int, int, int]
    answer_chars: tuple[int, int, int]
    num_answers: int
    commonest: float


def check_examples(
    asked: tuple[Sequence[SourceRecipe], dict[str, JsonValue] | None], _: Callable[[object], None]
) -> CheckedExamples:
    """Read files of examples, with the schema of their answers if there is one. For a child process.

    Lines of another file than the first are named with it.
    """
    (source, *_others), schema = asked
    looker = _Looker(AnswerChecker(schema) if schema is not None else None)
    placed, unanswered = placed_examples(asked[0], Limits(), ANYWHERE), set()
    for place, content in islice(placed, MOST_RECORDS):
        file, _hash, line = place.rpartition("#")
        line = one_line(line if Path(file).name == Path(source.path).name else f"{Path(file).name}#{line}")
        if isinstance(content, Flaw):
            unanswered.add(line)
            looker.finding(f"not read: {content.reason.replace('_', ' ')}").add(line, one_line(content.detail, 120))
        elif content.messages:
            looker.num_synthetic += bool(content.source)
            looker.take(line, content.messages[-2].content, content.messages[-1].content)
    inputs = source.model_copy(update={"format": JSON_LINES, "text_field": INPUT})  # also where there is no answer
    for place, content in islice(placed_examples([inputs], Limits(), ANYWHERE), MOST_RECORDS if unanswered else 0):
        if isinstance(content, Content) and (line := one_line(place.rpartition("#")[2])) in unanswered:
            looker.search(line, content.text)
    return looker.result(is_all=next(placed, None) is None)


class _Looker:
    def __init__(self, checker: AnswerChecker | None) -> None:
        self._checker = checker
        self._findings: dict[str, ExampleFinding] = {}
        self._first: dict[bytes, tuple[str, bytes]] = {}  # by input: its line and its answer
        self._answers: Counter[bytes] = Counter()
        self._lengths: tuple[list[int], list[int]] = ([], [])
        self.num_synthetic = 0

    def finding(self, kind: str) -> ExampleFinding:
        return self._findings.setdefault(kind, ExampleFinding(kind))

    def take(self, line: str, asked: str, answer: str) -> None:
        self._lengths[0].append(len(asked))
        self._lengths[1].append(len(answer))
        digest = _digest(answer)
        self._answers[digest] += 1
        first = self._first.setdefault(_digest(asked), (line, digest))
        if first[0] != line:
            kind = "the same example again" if first[1] == digest else "the same input with another answer"
            self.finding(kind).add(line, f"as {first[0]}")
        if self._checker is not None and (misfit := self._checker.why_not(answer)):
            self.finding("the answer does not fit the schema").add(line, misfit)
        self.search(line, asked, answer)

    def search(self, line: str, *texts: str) -> None:
        """For personal data, which is not repeated in what is found."""
        for kind, pattern in _PERSONAL.items():
            if any(_is_meant(kind, found[0]) for text in texts for found in pattern.finditer(text)):
                self.finding(f"looks like personal data: {kind}").add(line)

    def result(self, *, is_all: bool) -> CheckedExamples:
        num_examples = self._answers.total()
        return CheckedExamples(
            num_examples=num_examples,
            num_synthetic=self.num_synthetic,
            is_all=is_all,
            findings=tuple(self._findings.values()),
            input_chars=_spread(self._lengths[0]),
            answer_chars=_spread(self._lengths[1]),
            num_answers=len(self._answers),
            commonest=max(self._answers.values()) / num_examples if num_examples else 0.0,
        )


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _spread(lengths: list[int]) -> tuple[int, int, int]:
    if len(lengths) < 2:
        return (lengths or [0])[0], (lengths or [0])[0], (lengths or [0])[0]
    cuts = quantiles(lengths, n=20, method="inclusive")
    return round(cuts[9]), round(cuts[18]), max(lengths)


def _is_meant(kind: str, text: str) -> bool:
    """Of a card's number the last digit follows from the others (ISO/IEC 7812, Luhn)."""
    if kind != "card number":
        return True
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits)]
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0
