"""Do those who label agree? Each with each, on what both labelled, and all of them together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from ropewalk.events.label import LabelGiven
from ropewalk.projections.labels import Labelled
from ropewalk.report.charts import HALF
from ropewalk.report.drawing import Bar, Drawing, Label, Mark
from ropewalk.statistics.alpha import krippendorff_alpha
from ropewalk.tasksets.judges.labels import JudgedAnswer

_STRONGEST = 0.5  # a letter must be readable on it
_CELL, _LEAST_CELL = 44, 18  # pixels; two digits must have room
MOST_RATERS = 16


@dataclass(frozen=True)
class RaterAgreement:
    """`pairs`: of two raters in the order of `raters`, the share of equal grades and of how many. `alpha` of all
    (Krippendorff's, ordinal) is NaN where there is nothing to agree about."""

    source: str
    criterion: str
    raters: tuple[str, ...]
    pairs: Mapping[tuple[int, int], tuple[float, int]]
    alpha: float
    num_answers: int

    @property
    def title(self) -> str:
        """Of the drawing."""
        return f"Raters: {self.source}, {self.criterion}"

    @property
    def sentence(self) -> str:
        """What they come to together."""
        known = self.alpha == self.alpha
        alpha = f"Krippendorff's alpha {self.alpha:.2f}" if known else "no alpha: all grades are the same"
        return f"{len(self.raters)} raters, {self.num_answers:,} answers that two or more of them graded: {alpha}."


def by_criterion(labelled: Labelled, version: int) -> dict[str, dict[str, dict[str, int]]]:
    """Grades by criterion, sheet and rater, of one version of a task set."""
    of: dict[str, LabelGiven] = {each.sheet_id: each for each in labelled.labels.values() if each.version == version}
    found: dict[str, dict[str, dict[str, int]]] = {}
    for sheet, grades in labelled.grades().items():
        if sheet in of:
            found.setdefault(of[sheet].criterion, {})[sheet] = grades
    return found


def of_registration(answers: Iterable[JudgedAnswer]) -> dict[str, dict[str, dict[str, int]]]:
    """The same of the labels that came with a judge."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for each in answers:
        found.setdefault(each.criterion, {})[each.item_id] = each.labels
    return found


def agreement(source: str, criterion: str, grades: Mapping[str, Mapping[str, int]]) -> RaterAgreement | None:
    """From grades by sheet and rater; None where no two people graded one sheet. The first 16 raters are drawn."""
    shared = [of for of in grades.values() if len(of) > 1]
    raters = tuple(sorted({rater for of in shared for rater in of}))[:MOST_RATERS]
    if not shared:
        return None
    pairs = {}
    for (one, first), (other, second) in combinations(enumerate(raters), 2):
        if both := [of for of in shared if first in of and second in of]:
            pairs[one, other] = (sum(of[first] == of[second] for of in both) / len(both), len(both))
    alpha = krippendorff_alpha([[of.get(rater) for of in shared] for rater in raters], "ordinal")
    return RaterAgreement(source, criterion, raters, pairs, alpha, len(shared))


def agreement_chart(shown: RaterAgreement, width: int = HALF) -> Drawing:
    """The share of equal grades in percent, the stronger the colour the higher; columns are numbered as rows are."""
    count = len(shown.raters)
    left = max(60, min(130, width // 3, width - _LEAST_CELL * count))
    cell = min(_CELL, (width - left) // count)
    marks: list[Mark] = []
    for row, name in enumerate(shown.raters):
        middle = 20 + row * cell + cell / 2
        marks.append(Label(0, middle + 4, f"{row + 1} {name}"[: left // 7], "name"))
        marks.append(Label(left + row * cell + cell / 2, 14, str(row + 1), "axis", "middle"))
        for column in range(count):
            found = shown.pairs.get((min(row, column), max(row, column)))
            if found is not None and row != column:
                at = left + column * cell
                marks.append(Bar(at + 1, 21 + row * cell, cell - 2, cell - 2, _STRONGEST * found[0]))
                marks.append(Label(at + cell / 2, middle + 4, f"{100 * found[0]:.0f}", "name", "middle"))
    return Drawing(width, 24 + count * cell, f"Agreement: {shown.title}", marks)
