"""Paired differences with their intervals: one drawing for each quantity, so that no axis has two scales."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ropewalk.events.evaluation import Estimate
from ropewalk.report.axes import Axis, tick_label, ticks
from ropewalk.report.charts import WIDE
from ropewalk.report.drawing import Dot, Drawing, Label, Line, Mark
from ropewalk.report.evaluation.sealed import what
from ropewalk.report.facts import interval

_ROW, _FOOT, _LETTER = 42, 24, 6.4  # pixels; a letter's at most
_KINDS = {"primary": "own", "guardrail": "guard", "shown": "other"}


@dataclass(frozen=True)
class ForestRow:
    """A gain, and what the gate asks of it: to be above the margin, or not to be below a tolerated loss."""

    gain: Estimate
    bound: float | None = None

    @property
    def name(self) -> str:
        """Its role, and over whom it is a gain."""
        return f"{self.gain.role}: over {self.gain.subject}"


@dataclass(frozen=True)
class Forest:
    """All gains of one quantity."""

    rows: tuple[ForestRow, ...]

    @property
    def title(self) -> str:
        """Of the drawing."""
        return f"Gain: {what(self.rows[0].gain)}"


def forests(gains: Sequence[ForestRow]) -> tuple[Forest, ...]:
    """By quantity, task set and unit, in the order in which they first appear."""
    found: dict[tuple[str, str], list[ForestRow]] = {}
    for each in gains:
        found.setdefault((what(each.gain), each.gain.unit), []).append(each)
    return tuple(Forest(tuple(rows)) for rows in found.values())


def forest_chart(forest: Forest, width: int = WIDE) -> Drawing:
    """A row has its words above its interval. Dashed is what the gate asks for; where nobody knows, a line ends at the
    edge."""
    low, high = _span(forest.rows)
    x = Axis(low, high, 8, width - 8)
    height = _ROW * len(forest.rows) + _FOOT
    is_share = forest.rows[0].gain.unit == "share"
    marks: list[Mark] = []
    for value in ticks(low, high, 7 if width == WIDE else 3):
        for top in range(0, _ROW * len(forest.rows), _ROW):  # not through the words
            marks.append(Line(((x(value), top + 22), (x(value), top + _ROW)), "zero" if value == 0 else "grid"))
        written = f"{round(100 * value, 9):g}%" if is_share else tick_label(round(value, 9))
        side = "start" if x(value) < 24 else "end" if x(value) > width - 24 else "middle"
        marks.append(Label(x(value), height - 8, written, "axis", side))
    for place, row in enumerate(forest.rows):
        marks += _row(row, x, place * _ROW, width)
    return Drawing(width, height, forest.title, marks)


def _row(row: ForestRow, x: Axis, top: int, width: int) -> Iterator[Mark]:
    kind, middle, value = _KINDS[row.gain.role], top + 30, interval(row.gain)
    room = int((width - 24) / _LETTER) - len(value)
    name = row.name if len(row.name) <= room else f"{row.name[: room - 1]}…"
    yield Label(8, top + 18, name, "name")
    yield Label(width - 8, top + 18, value, "axis", "end")
    lower, upper = (min(max(each, x.low), x.high) for each in (row.gain.lower, row.gain.upper))
    yield Line(((x(lower), middle), (x(upper), middle)), kind)
    yield Dot(x(row.gain.value), middle, kind)
    if row.bound is not None:
        yield Line(((x(row.bound), middle - 9), (x(row.bound), middle + 9)), "bound")


def _span(rows: Iterable[ForestRow]) -> tuple[float, float]:
    """Of all finite values, with 0 and some room."""
    drawn = [0.0]
    for row in rows:
        drawn += [row.gain.value, row.gain.lower, row.gain.upper, *([] if row.bound is None else [row.bound])]
    finite = [each for each in drawn if math.isfinite(each)]
    room = 0.06 * (max(finite) - min(finite)) or 0.01
    return min(finite) - room, max(finite) + room
