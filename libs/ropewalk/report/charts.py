"""The charts of the card."""

from collections.abc import Callable, Iterator, Sequence

from ropewalk.events.evaluation import Estimate
from ropewalk.report.axes import Axis, tick_label, ticks
from ropewalk.report.card import Interruption, LearningCurve, ReportCard, StageLine
from ropewalk.report.curve import curve_of
from ropewalk.report.drawing import Bar, Dot, Drawing, Label, Line, Mark
from ropewalk.report.facts import duration, interval

WIDE, HALF = 990, 474  # pixels, as on a page for a desk
_ROW = 24


def loss_chart(card: ReportCard, width: int = WIDE) -> Drawing:
    """Training loss over steps, of which there must be some, in nats per token and bits per byte.

    Losses of workers are marked, steps whose update was skipped, and those at which the weights had gone bad.
    """
    curve = curve_of(card.losses)
    looks = tuple((float(look.step), look.loss) for look in card.looks)
    everything = [*curve.kept, *looks, *(point for line in curve.lost for point in line)]
    low, high = min(loss for _, loss in everything), max(loss for _, loss in everything)
    last = max(step for step, _ in everything)
    has_bytes = card.bits_per_byte(1.0) is not None
    right = width - (52 if has_bytes else 12)
    x, y = Axis(0, last, 44, right), Axis(low, high, 226, 24)
    # From the top: axis titles at 12, the curve from 24 to 226, steps at 246, the word "step" at 262.
    marks = [*_grid_y(y, ticks(low, high), right), *_labels_x(x, ticks(0, last, 6 if width == WIDE else 3), 246)]
    marks += _bytes_scale(y, ticks(low, high), right, card.bits_per_byte) if has_bytes else ()
    marks += [
        Line(tuple((x(step), y(loss)) for step, loss in line), kind)
        for line, kind in [*((line, "lost") for line in curve.lost), (curve.kept, "kept")]
    ]
    marks += [Dot(x(step), 226, "skip", 2.5) for step in card.skipped_steps if step <= last]
    marks += [Line(((x(step), 206), (x(step), 226)), "back") for step in card.rolled_back_steps if step <= last]
    for each in card.interruptions:
        marks += _kill(each, x, is_wide=width == WIDE)
    marks += [Label(right, 262, "step", "axis", "end"), Label(4, 12, "loss: nats per token", "axis")]
    if looks:
        marks.append(Line(tuple((x(step), y(loss)) for step, loss in looks), "looks"))
        marks += [Dot(x(step), y(loss), "looks", 2.5) for step, loss in looks]
        marks.append(Label(44, 262, "line: training, dots: validation", "axis"))
    return Drawing(width, 266, "Training loss over steps", marks)


def _bytes_scale(
    y: Axis, values: Sequence[float], right: int, bits_per_byte: Callable[[float], float | None]
) -> Iterator[Mark]:
    """The same loss in the unit that models of other tokenizers can be compared in."""
    for value in values:
        yield Label(right + 6, y(value) + 4, f"{bits_per_byte(value):.2f}", "axis")
    yield Label(right + 48, 12, "bits per byte", "axis", "end")


def stage_chart(stages: Sequence[StageLine], width: int = HALF) -> Drawing:
    """When each stage ran; there must be one."""
    end = max(stage.begin_s + stage.seconds for stage in stages)
    x = Axis(0, end, 84, width - 78)
    height = _ROW * len(stages) + 30
    marks = [*_labels_x(x, ticks(0, end, 6 if width == HALF else 3), height - 8, unit=" s")]
    for row, stage in enumerate(stages):
        top = row * _ROW + 4
        begin = x(stage.begin_s)
        # A stage of no time is still seen: two pixels.
        length = max(2.0, x(stage.begin_s + stage.seconds) - begin)
        marks.append(Label(78, top + 13, stage.name, "name", "end"))
        marks.append(Bar(begin, top + 2, length, 14))
        marks.append(Label(begin + length + 6, top + 13, duration(stage.seconds), "axis"))
    return Drawing(width, height, "Time per stage", marks)


def interval_chart(rows: Sequence[tuple[str, Estimate]], width: int = HALF) -> Drawing:
    """Estimates with their intervals on one axis, the first of them in colour."""
    low = min(estimate.lower for _, estimate in rows)
    high = max(estimate.upper for _, estimate in rows)
    margin = max(0.02, (high - low) * 0.08)
    x = Axis(low - margin, high + margin, 130, width - 146)
    height = _ROW * len(rows) + 34
    write = "{:.0%}".format if rows[0][1].unit == "share" else tick_label
    marks: list[Mark] = [
        Label(x(value), height - 10, write(value), "axis", "middle")
        for value in ticks(low, high, 5 if width == HALF else 2)
    ]
    for row, (name, estimate) in enumerate(rows):
        middle = row * _ROW + 16
        kind = "own" if row == 0 else "other"
        marks.append(Label(120, middle + 4, name, "name", "end"))
        marks.append(Line(((x(estimate.lower), middle), (x(estimate.upper), middle)), kind))
        marks.append(Dot(x(estimate.value), middle, kind))
        marks.append(Label(width - 134, middle + 4, interval(estimate), "axis"))
    return Drawing(width, height, "Estimates with intervals", marks)


def learning_chart(curve: LearningCurve, width: int = WIDE) -> Drawing:
    """Shares with their intervals over the number of examples; there must be a point. The first metric is in colour."""
    points = [point for point in curve.points if point.levels]
    names = list(points[-1].levels)[:2]
    drawn = [point.levels[name] for point in points for name in names if name in point.levels]
    low, high, most = min(each.lower for each in drawn), max(each.upper for each in drawn), points[-1].num_learnt
    right = width - 26  # half of a number
    x, y = Axis(0, most, 52, right), Axis(low, high, 196, 30)
    marks: list[Mark] = []
    for value in ticks(low, high, 4):
        marks += [
            Line(((52, y(value)), (right, y(value))), "grid"),
            Label(46, y(value) + 4, f"{value:.0%}", "axis", "end"),
        ]
    marks += [Label(x(each.num_learnt), 218, f"{each.num_learnt:,}", "axis", "middle") for each in points]
    marks.append(Label(right, 236, "examples that were learnt from", "axis", "end"))
    for place, name in reversed(list(enumerate(names))):
        kind, aside = ("other", -6.0) if place else ("own", 0.0)  # beside each other where both lie at one place
        found = [(x(point.num_learnt) + aside, point.levels[name]) for point in points if name in point.levels]
        marks.append(Line(tuple((at, y(each.value)) for at, each in found), "kept" if kind == "own" else kind))
        for at, each in found:
            marks += [Line(((at, y(each.lower)), (at, y(each.upper))), kind), Dot(at, y(each.value), kind)]
        marks += [Dot(58 + 130 * place, 10, kind), Label(66 + 130 * place, 14, found[0][1].quantity, "axis")]
    return Drawing(width, 252, "Learning curve", marks)


def _kill(each: Interruption, x: Axis, *, is_wide: bool) -> Iterator[Mark]:
    place = x(each.last_step)
    side, offset = ("end", -6) if place > x.begin + 0.6 * (x.end - x.begin) else ("start", 6)
    lost = f", back in {each.seconds_lost:.1f} s" if each.seconds_lost is not None else ""
    label = f"{each.cause} at step {each.last_step}{lost}" if is_wide else f"loss at step {each.last_step}"
    yield Line(((place, 24), (place, 226)), "kill")
    yield Label(place + offset, 38, label, "kill", side)


def _grid_y(y: Axis, values: Sequence[float], right: int) -> Iterator[Mark]:
    for value in values:
        yield Line(((44, y(value)), (right, y(value))), "grid")
        yield Label(38, y(value) + 4, tick_label(value), "axis", "end")


def _labels_x(x: Axis, values: Sequence[float], y: int, unit: str = "") -> Iterator[Mark]:
    for value in values:
        yield Label(x(value), y, f"{tick_label(value)}{unit}", "axis", "middle")
