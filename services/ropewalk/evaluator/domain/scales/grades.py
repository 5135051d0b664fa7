"""A grade is a number and the scale it was given on; two scales are never averaged as if they were one."""

from collections.abc import Iterable
from dataclasses import dataclass

from ropewalk.events.foreign import quoted


@dataclass(frozen=True)
class Scale:
    """Grades from `lowest` in steps of `step`; `levels` of them."""

    scale_id: str
    lowest: float
    step: float
    levels: int

    def place(self, grade: float) -> int:
        """Which level a grade is, from 0. Raises ValueError where it is none."""
        place = round((grade - self.lowest) / self.step) if grade == grade else -1
        if not 0 <= place < self.levels or abs(self.lowest + place * self.step - grade) > 1e-9:
            highest = self.lowest + (self.levels - 1) * self.step
            raise ValueError(
                f"{grade:g} is no grade of the scale {self.scale_id}: {self.lowest:g} to {highest:g} by {self.step:g}"
            )
        return place


SCALES = {
    each.scale_id: each
    for each in (
        Scale("0-1", 0, 1, 2),
        Scale("0-1 by tenths", 0, 0.1, 11),
        Scale("0-3", 0, 1, 4),
        Scale("1-5", 1, 1, 5),
        Scale("0-5", 0, 1, 6),
        Scale("1-10", 1, 1, 10),
        Scale("pairwise", 0, 0.5, 3),  # lost, tied, won
    )
}


@dataclass(frozen=True)
class ScaledGrade:
    """As it was given: nothing is converted before it is stored."""

    scale_id: str
    value: float

    def __post_init__(self) -> None:
        if self.scale_id not in SCALES:
            raise ValueError(f"there is no scale {quoted(self.scale_id)}; there are {', '.join(SCALES)}")
        SCALES[self.scale_id].place(self.value)

    @property
    def place(self) -> int:
        """The level, from 0."""
        return SCALES[self.scale_id].place(self.value)


def mean_grade(grades: Iterable[ScaledGrade]) -> float:
    """The mean of grades of one scale. Raises ValueError without any, and where there are several scales."""
    found = list(grades)
    scales = sorted({grade.scale_id for grade in found})
    if len(scales) > 1:
        raise ValueError(
            f"grades of the scales {' and '.join(scales)} have no mean: link the scales first, which takes items that "
            "were graded on both"
        )
    if not found:
        raise ValueError("no grades have no mean")
    return sum(grade.value for grade in found) / len(found)
