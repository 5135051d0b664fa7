"""What a judge said beside what people said of the same answers, from its registration; and both as a diagram."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ropewalk.report.axes import Axis
from ropewalk.report.charts import HALF
from ropewalk.report.drawing import Dot, Drawing, Label, Line, Mark
from ropewalk.statistics.intervals import Interval, bounded, ratio_of_sums
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.judges.grading import graded
from ropewalk.tasksets.judges.labels import JudgedAnswer
from ropewalk.tasksets.judges.prompt import judge_prompt
from ropewalk.tasksets.judges.shelf import RECORDED, ReadJudge

_MOST_LINES, _MOST_LINE = 20_000, 64 * 1024
_PER_GRADE = 2  # bins


@dataclass(frozen=True)
class Bin:
    """Answers that the judge graded nearly alike: its mean grade, people's with its interval, and how many."""

    judged: float
    people: Interval
    num_answers: int


@dataclass(frozen=True)
class Reliability:
    """A judge by one criterion, whose highest grade is `top`. `bins` have at least one answer each."""

    judge: str
    criterion: str
    top: int
    bins: tuple[Bin, ...]

    @property
    def title(self) -> str:
        """Of the drawing."""
        return f"Judge {self.judge}: {self.criterion}"


def said_by_judge(objects: ObjectStore, content: str) -> dict[str, dict[str, float]]:
    """By prompt: how likely the judge of a registration found each next token. Raises StorageError, OSError, ValueError
    where that is lost."""
    found = {}
    with (objects.fetch(f"judge_answers/{content}") / RECORDED).open("rb") as lines:
        for line in islice(lines, _MOST_LINES):
            if len(line) <= _MOST_LINE:
                record = json.loads(line)
                found[str(record["prompt"])] = {str(key): float(value) for key, value in record["next_token"].items()}
    return found


def reliabilities(name: str, judge: ReadJudge, said: dict[str, dict[str, float]]) -> Iterator[Reliability]:
    """One for each criterion by which the judge graded what people had graded."""
    for criterion, meaning in judge.rubric.criteria.items():
        pairs = []
        for answer in judge.answers:
            if answer.criterion == criterion and answer.labels:
                grade = graded(said.get(judge_prompt(meaning, answer).digest, {}), meaning.numbers)
                pairs += [] if grade is None else [(grade.expected, answer)]
        if pairs:
            yield Reliability(name, criterion, meaning.numbers[-1], _bins(pairs, meaning.numbers[-1]))


def _bins(pairs: Sequence[tuple[float, JudgedAnswer]], top: int) -> tuple[Bin, ...]:
    parts: dict[int, list[tuple[float, JudgedAnswer]]] = {}
    for grade, answer in pairs:
        parts.setdefault(min(int(grade * _PER_GRADE), top * _PER_GRADE - 1), []).append((grade, answer))
    return tuple(_bin(part, top) for _, part in sorted(parts.items()))


def _bin(part: Sequence[tuple[float, JudgedAnswer]], top: int) -> Bin:
    """An answer weighs by the inverse of the chance with which it was drawn to be labelled."""
    import numpy as np

    sums: dict[str, list[float]] = {}  # by cluster: people's grades, the judge's, weight
    for grade, answer in part:
        total = sums.setdefault(answer.cluster or answer.item_id, [0.0, 0.0, 0.0])
        people = sum(answer.labels.values()) / len(answer.labels)
        for place, value in enumerate((people, grade, 1.0)):
            total[place] += value / answer.chance
    people_of, judge_of, weights = np.array(list(sums.values())).T
    interval = bounded(ratio_of_sums(people_of, weights, seed=0), 0.0, float(top), len(sums))
    return Bin(float(judge_of.sum() / weights.sum()), interval, len(part))


def reliability_chart(shown: Reliability, width: int = HALF) -> Drawing:
    """People's mean grade over the judge's. On the diagonal both say the same; above it people are milder."""
    side, left = min(width, 330) - 80, 60
    x, y = Axis(0, shown.top, left, left + side), Axis(0, shown.top, 26 + side, 26)
    marks: list[Mark] = [Label(4, 12, "people's mean grade", "axis")]
    for grade in range(shown.top + 1):
        marks += [
            Line(((left, y(grade)), (left + side, y(grade))), "grid"),
            Label(left - 8, y(grade) + 4, str(grade), "axis", "end"),
            Label(x(grade), side + 44, str(grade), "axis", "middle"),
        ]
    marks.append(Line(((x(0), y(0)), (x(shown.top), y(shown.top))), "zero"))
    for each in shown.bins:
        at = x(each.judged)
        marks += [
            Line(((at, y(each.people.lower)), (at, y(each.people.upper))), "own"),
            Dot(at, y(each.people.value), "own"),
            Label(at, side + 78, f"{each.num_answers:,}", "axis", "middle"),
        ]
    marks.append(Label(left + side, side + 61, "the judge's grade", "axis", "end"))
    marks.append(Label(0, side + 78, "answers", "axis"))
    return Drawing(width, side + 86, f"Reliability: {shown.title}", marks)
