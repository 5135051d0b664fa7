"""What is wrong with a file of examples, by line: what cannot be learned from, and what would teach wrong things.

What looks like personal data is found by its form alone: there is more of it than that, and some of it is none.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from statistics import quantiles

from pydantic import JsonValue

from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE, LEAST_SHARE, too_few_to_judge
from ropewalk.corpus.reading.contents import Placed
from ropewalk.corpus.reading.examples import INPUT
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.task_checks import FEWEST_EXAMPLES, placed_examples
from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.formats import INPUTS, JSON_LINES
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.usecases.schema import AnswerChecker

MOST_RECORDS = 200_000
_MOST_PLACES = 10  # of a finding that are named
_PERSONAL: Mapping[str, re.Pattern[str]] = {
    "e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,100}"),
    "telephone number": re.compile(
        r"(?<![\w.-])(?:\+\d[\d ()/-]{7,18}\d|0\d{2,4}[ /-]\d{5,8}|(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4})(?![\w-])"
    ),
    "bank account (IBAN)": re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?\b"),
    "social security number (US)": re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    "card number": re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)"),
}
# By its characters: whose IBAN has so many (ISO 13616's registry). Without it, every 97th word of that form were one.
_IBAN_COUNTRIES: Mapping[int, str] = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
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


@dataclass(frozen=True, kw_only=True)
class ExamplesToCheck:
    """Sources of examples, and of inputs beside them; the schema of answers, and the share that will be held out."""

    sources: tuple[SourceRecipe, ...]
    schema: dict[str, JsonValue] | None = None
    held_out_fraction: float = LEAST_SHARE


def check_examples(asked: ExamplesToCheck, _: Callable[[object], None]) -> CheckedExamples:
    """Read all, first the examples. For a child process. Lines of another file than the first are named with it."""
    looker = _Looker(AnswerChecker(asked.schema) if asked.schema is not None else None)
    wholes = [
        looker.read_inputs(source) if source.format == INPUTS else looker.read(source, is_first=place == 0)
        for place, source in enumerate(asked.sources)
    ]
    looker.judge_number(asked.held_out_fraction)
    return looker.result(is_all=all(wholes))


def _placed(source: SourceRecipe, *, is_first: bool = True) -> tuple[Placed, Iterator[tuple[str, Content | Flaw]]]:
    """All records, and the first of them with the line that each is."""
    placed = placed_examples([source], Limits(), ANYWHERE)
    name = "" if is_first else f"{Path(source.path).name}#"
    lines = ((one_line(name + place.rpartition("#")[2]), content) for place, content in islice(placed, MOST_RECORDS))
    return placed, lines


class _Looker:
    def __init__(self, checker: AnswerChecker | None) -> None:
        self._checker = checker
        self._findings: dict[str, ExampleFinding] = {}
        self._first: dict[bytes, tuple[str, bytes]] = {}  # by input: its line and its answer
        self._answers: Counter[bytes] = Counter()
        self._keys: set[str] = set()
        self._lengths: tuple[list[int], list[int]] = ([], [])
        self.num_synthetic = 0

    def finding(self, kind: str) -> ExampleFinding:
        return self._findings.setdefault(kind, ExampleFinding(kind))

    def read(self, source: SourceRecipe, *, is_first: bool) -> bool:
        """Examples. Returns whether these were all."""
        unanswered, (placed, lines) = set(), _placed(source, is_first=is_first)
        for line, content in lines:
            if isinstance(content, Flaw):
                unanswered.add(line)
                self._unread(line, content)
            elif content.messages:
                self._keys.add(content.split_key)
                self.num_synthetic += bool(content.source)
                self.take(line, content.messages[-2].content, content.messages[-1].content)
        if source.key_field and len(self._keys) == 1 < self._answers.total():
            self.finding(f"the key_field {quoted(source.key_field)} is the same in all, so none can be held out")
        inputs = source.model_copy(update={"format": JSON_LINES, "text_field": INPUT, "key_field": ""})
        again = _placed(inputs, is_first=is_first)[1] if unanswered else ()  # also where there is no answer
        for line, content in again:
            if isinstance(content, Content) and line in unanswered:
                self.search(line, content.text)
        return next(placed, None) is None

    def read_inputs(self, source: SourceRecipe) -> bool:
        """Inputs that the base model is to answer. Returns whether these were all."""
        placed, lines = _placed(source, is_first=False)
        for place, content in lines:
            if isinstance(content, Flaw):
                self._unread(place, content)
                continue
            asked = content.messages[-1].content
            first = self._first.setdefault(_digest(asked), (place, b""))
            if first[0] != place:
                self.finding("an input that is there already").add(place, f"as {first[0]}")
            self.search(place, asked)
        return next(placed, None) is None

    def judge_number(self, held_out_fraction: float) -> None:
        """Whether they are enough to teach, and to judge by."""
        found = self._answers.total() - self.num_synthetic
        if found < FEWEST_EXAMPLES:
            self.finding(
                f"too few examples: {FEWEST_EXAMPLES} are the least, a hundred a beginning"
            ).num_records = found
        elif too_few_to_judge(found, held_out_fraction):
            kind = f"too few examples to judge by: {DOCUMENTS_TO_JUDGE} must be held out"
            self.finding(f"{kind} (evaluation.held_out_fraction)").num_records = found

    def _unread(self, place: str, flaw: Flaw) -> None:
        self.finding(f"not read: {flaw.reason.replace('_', ' ')}").add(place, one_line(flaw.detail, 120))

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
    """By their check digits: Luhn's of a card's number (ISO/IEC 7812), the remainder by 97 of an IBAN (ISO 13616)."""
    if kind == "bank account (IBAN)":
        upper = text.upper()
        begins = accumulate(upper.split(" "))  # what follows in groups of four may be a word
        plain = next((each for each in begins if upper[:2] in _IBAN_COUNTRIES.get(len(each), "").split()), "")
        return bool(plain) and int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1
    if kind != "card number":
        return True
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits)]
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0
