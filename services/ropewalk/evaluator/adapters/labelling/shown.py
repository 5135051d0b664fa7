"""A sheet as a page shows it: blinded, its texts cut, what may be said of it with the keys that say it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ropewalk.evaluator.domain.labelling.gold import criteria_of
from ropewalk.evaluator.domain.labelling.queue import Offer
from ropewalk.evaluator.domain.labelling.sheets import PAIR
from ropewalk.events.foreign import cut
from ropewalk.events.label import CANNOT_JUDGE
from ropewalk.tasksets.judges.rubric import Criterion, WorkedExample

MOST_TEXT = 8_192  # characters of a text that is shown


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A button: the grade that it gives, in the sheet's own terms, and the key that presses it."""

    grade: int
    key: str
    means: str


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A grade with its examples, as the rubric has them."""

    grade: int
    means: str
    examples: tuple[WorkedExample, ...]


@dataclass(frozen=True, kw_only=True)
class ShownCriterion:
    """What is looked at."""

    name: str
    definition: str
    meanings: tuple[Meaning, ...]


@dataclass(frozen=True, kw_only=True)
class ShownSheet:
    """What a rater sees. `texts` have a heading each."""

    criteria: tuple[ShownCriterion, ...]
    texts: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str], ...]
    choices: tuple[Choice, ...]


def shown_of(offer: Offer, criteria: Mapping[str, Criterion]) -> ShownSheet:
    """Of a pair the answer that stands first is A. Without its criterion a sheet can still be graded."""
    sheet, known = offer.sheet, criteria_of(offer.sheet.criterion, criteria)
    texts = (("Question", sheet.question), ("Reference", sheet.reference), ("Note", sheet.note))
    answers = sheet.answers[::-1] if offer.shown_first else sheet.answers
    names = ("Answer",) if len(answers) == 1 else ("Answer A", "Answer B")
    return ShownSheet(
        criteria=tuple(_criterion(name, each, sheet.answers) for name, each in known.items()),
        texts=tuple((name, cut(text, MOST_TEXT)) for name, text in texts if text),
        answers=tuple((name, cut(text, MOST_TEXT)) for name, text in zip(names, answers, strict=True)),
        choices=_choices(offer, known.get(sheet.criterion)),
    )


def said_as(grade: int, shown_first: int, scale: str) -> str:
    """A grade in the words of the page on which it was given."""
    if grade == CANNOT_JUDGE:
        return "cannot judge"
    if scale != PAIR:
        return str(grade)
    return "neither" if grade == 1 else "A is better" if (grade == 2) == bool(shown_first) else "B is better"


def _choices(offer: Offer, criterion: Criterion | None) -> tuple[Choice, ...]:
    if offer.sheet.scale == PAIR:
        first, second = (2, 0) if offer.shown_first else (0, 2)
        told = ((first, "A", "A is better"), (1, "T", "neither is better"), (second, "B", "B is better"))
        return tuple(Choice(grade=grade, key=key, means=means) for grade, key, means in told)
    means = {each.grade: each.means for each in criterion.grades} if criterion else {}
    return tuple(Choice(grade=each, key=str(each), means=means.get(each, "")) for each in offer.sheet.grades)


def _criterion(name: str, criterion: Criterion, asked: tuple[str, ...]) -> ShownCriterion:
    """Without an example that is itself what is asked."""
    meanings = tuple(
        Meaning(
            grade=each.grade,
            means=each.means,
            examples=tuple(example for example in each.examples if example.answer not in asked),
        )
        for each in criterion.grades
    )
    return ShownCriterion(name=name.replace("_", " "), definition=criterion.definition, meanings=meanings)
