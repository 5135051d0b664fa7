"""The answers of two models to the same items: the sheets that are made of them, and what people said of those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet, in_order
from ropewalk.tasksets.definition import PREFERRED

Grades = Mapping[str, Mapping[str, int]]  # by sheet and rater


@dataclass(frozen=True, kw_only=True)
class AnsweredItem:
    """What was asked and what both said: the candidate, and what it must beat."""

    item_id: str
    cluster: str
    question: str
    ours: str
    theirs: str
    reference: str = ""
    note: str = ""

    def sheet(self, criterion: str, scale: str, rubric: str, answers: tuple[str, ...], chance: float = 1.0) -> Sheet:
        """What people are asked about one answer or both."""
        return Sheet(
            item_id=self.item_id,
            cluster=self.cluster,
            criterion=criterion,
            scale=scale,
            rubric=rubric,
            question=self.question,
            answers=answers,
            reference=self.reference,
            note=self.note,
            chance=chance,
        )


@dataclass(frozen=True)
class Asked:
    """What people are asked about each item. `tops`: the highest grade by criterion; empty: which is better.

    `rubrics`: by metric, the digest of what they judge by.
    """

    tops: Mapping[str, int]
    rubrics: Mapping[str, str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What comes of it."""
        return tuple(self.tops) or (PREFERRED,)

    def sheets(self, item: AnsweredItem, metric: str, chance: float = 1.0) -> tuple[Sheet, ...]:
        """Of answers that are the same one sheet, or none where they would be compared."""
        texts, rubric = tuple(dict.fromkeys((item.ours, item.theirs))), self.rubrics[metric]
        if self.tops:
            scale = f"0-{self.tops[metric]}"
            return tuple(item.sheet(metric, scale, rubric, (text,), chance) for text in texts)
        return (item.sheet(PREFERRED, PAIR, rubric, in_order(texts), chance),) if len(texts) > 1 else ()

    def labels(self, item: AnsweredItem, metric: str, grades: Grades) -> tuple[float, float]:
        """The mean label of ours and of theirs, from 0 to 1; NaN where nobody could judge."""
        means = [_mean(labels_on(each, grades)) for each in self.sheets(item, metric)]
        if self.tops:
            return means[0] / self.tops[metric], means[-1] / self.tops[metric]
        if not means:
            return 0.5, 0.5
        is_ours_first = in_order((item.ours, item.theirs))[0] == item.ours
        ours = 1 - means[0] / 2 if is_ours_first else means[0] / 2
        return ours, 1 - ours

    def label_arrays(
        self, items: Sequence[AnsweredItem], metric: str, grades: Grades, drawn: set[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both (items,); NaN of what was not drawn."""
        found = [self.labels(item, metric, grades) if item.item_id in drawn else (np.nan, np.nan) for item in items]
        both = np.array(found, dtype=np.float64).reshape(len(items), 2)
        return both[:, 0], both[:, 1]


def labels_on(sheet: Sheet, grades: Grades) -> dict[str, int]:
    """What raters gave a sheet of the grades that may be given."""
    return {rater: grade for rater, grade in grades.get(sheet.sheet_id, {}).items() if grade in sheet.grades}


def _mean(given: Mapping[str, int]) -> float:
    return sum(given.values()) / len(given) if given else float("nan")
