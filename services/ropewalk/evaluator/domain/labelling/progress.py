"""How far a rater is, and how others graded the same: what a page says beside the sheet."""

import math
from dataclasses import dataclass
from statistics import median

from ropewalk.evaluator.domain.labelling.queue import BLOCK, AskedSheets, next_position, open_for
from ropewalk.events.label import LabelGiven
from ropewalk.projections.labels import Labelled

LONGEST_S = 1_800.0  # of one label: who went away and came back did not look at it for longer
_USUAL_S = 20.0  # of a label, as long as nobody knows the rater's own


@dataclass(frozen=True)
class RaterProgress:
    """`num_done` of `num_all` labels, as far as they are wanted now."""

    num_done: int
    num_all: int
    left_s: float

    @property
    def sentence(self) -> str:
        """As the page says it."""
        minutes = max(1, round(self.left_s / 60))
        left = f", about {minutes} minute{'s' * (minutes > 1)} left" if self.num_done < self.num_all else ""
        return f"{self.num_done} of {self.num_all}{left}"


def progress_of(rater: str, wanted: AskedSheets, said: Labelled) -> RaterProgress:
    """Repeats and gold are counted in the time and nowhere else."""
    own = [label for (who, _), label in said.labels.items() if who == rater]
    sheets = {each.sheet_id for each in wanted.sheets}
    done = len({label.sheet_id for label in own if label.sheet_id in sheets})
    left = len(open_for(rater, wanted, said))
    paces = [label.seconds for label in own if math.isfinite(label.seconds)]
    each_s = median(paces) if paces else _USUAL_S
    return RaterProgress(done, done + left, left * each_s * BLOCK / (BLOCK - 3))


def seconds_between(opened: float, now: float) -> float:
    """How long a label took, bounded."""
    return round(min(max(now - opened, 0.0), LONGEST_S), 1)


def last_label(rater: str, said: Labelled) -> LabelGiven | None:
    """That which may be taken back: the newest, unless one was just taken back."""
    return said.labels.get((rater, next_position(rater, said) - 1))


def settled_label(rater: str, said: Labelled) -> LabelGiven | None:
    """The newest that can no longer be taken back: who hears what others said may not change their own word."""
    settled = [(place, label) for (who, place), label in said.labels.items() if who == rater]
    return max(
        ((place, label) for place, label in settled if place < next_position(rater, said) - 1),
        key=lambda each: each[0],
        default=(0, None),
    )[1]


def others_on(label: LabelGiven, said: Labelled) -> tuple[int, int]:
    """How many others graded the sheet of a label, and how many of them gave it the same grade."""
    grades = [grade for rater, grade in said.grades().get(label.sheet_id, {}).items() if rater != label.rater]
    return len(grades), grades.count(label.grade)
