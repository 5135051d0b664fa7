"""The charts of the HTML card as inline SVG, without scripts or outside files."""

from collections.abc import Sequence
from html import escape

from ropewalk.events.evaluation import Estimate
from ropewalk.report.axes import Axis, tick_label, ticks
from ropewalk.report.card import Interruption, LossPoint, StageLine
from ropewalk.report.curve import curve_of
from ropewalk.report.facts import duration, interval

_WIDE, _HALF = 990, 474  # as wide as shown, so that every chart has the same letters
_ROW = 24


def loss_chart(points: Sequence[LossPoint], interruptions: Sequence[Interruption]) -> str:
    """Training loss over steps, the kill marked; empty without points."""
    curve = curve_of(points)
    if not curve.kept:
        return ""
    everything = [*curve.kept, *(point for line in curve.lost for point in line)]
    low, high = min(loss for _, loss in everything), max(loss for _, loss in everything)
    last = max(step for step, _ in everything)
    x, y = Axis(0, last, 44, _WIDE - 12), Axis(low, high, 226, 14)
    parts = [_grid_y(y, ticks(low, high)), _labels_x(x, ticks(0, last, 6), 246)]
    parts += [_line(line, x, y, "lost") for line in curve.lost]
    parts.append(_line(curve.kept, x, y, "kept"))
    parts += [_kill(each, x) for each in interruptions]
    parts.append(f'<text class="axis" x="{_WIDE - 12}" y="262" text-anchor="end">step</text>')
    parts.append('<text class="axis" x="48" y="12">loss, nats per token</text>')
    return _svg(_WIDE, 266, "Training loss over steps", parts)


def stage_chart(stages: Sequence[StageLine]) -> str:
    """When each stage ran; empty without stages."""
    if not stages:
        return ""
    end = max(stage.begin_s + stage.seconds for stage in stages)
    x = Axis(0, end, 84, _HALF - 78)
    height = _ROW * len(stages) + 30
    parts = [_labels_x(x, ticks(0, end, 6), height - 8, unit=" s")]
    for row, stage in enumerate(stages):
        top = row * _ROW + 4
        width = max(2.0, x(stage.begin_s + stage.seconds) - x(stage.begin_s))
        parts.append(f'<text class="name" x="78" y="{top + 13}" text-anchor="end">{escape(stage.name)}</text>')
        parts.append(
            f'<rect class="bar" x="{x(stage.begin_s):.1f}" y="{top + 2}" width="{width:.1f}" height="14" rx="2"/>'
        )
        label_x = x(stage.begin_s) + width + 6
        parts.append(f'<text class="axis" x="{label_x:.1f}" y="{top + 13}">{duration(stage.seconds)}</text>')
    return _svg(_HALF, height, "Time per stage", parts)


def interval_chart(rows: Sequence[tuple[str, Estimate]]) -> str:
    """Estimates with their intervals on one axis; empty without rows."""
    if not rows:
        return ""
    low = min(estimate.lower for _, estimate in rows)
    high = max(estimate.upper for _, estimate in rows)
    margin = max(0.02, (high - low) * 0.08)
    x = Axis(low - margin, high + margin, 130, _HALF - 146)
    height = _ROW * len(rows) + 34
    parts = [_labels_x(x, ticks(low, high, 5), height - 10)]
    for row, (name, estimate) in enumerate(rows):
        middle = row * _ROW + 16
        kind = "kept" if row == 0 else "other"
        parts.append(f'<text class="name" x="120" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        ends = f'x1="{x(estimate.lower):.1f}" x2="{x(estimate.upper):.1f}"'
        parts.append(f'<line class="{kind}" {ends} y1="{middle}" y2="{middle}"/>')
        parts.append(f'<circle class="{kind}" cx="{x(estimate.value):.1f}" cy="{middle}" r="4.5"/>')
        parts.append(f'<text class="axis" x="{_HALF - 134}" y="{middle + 4}">{interval(estimate)}</text>')
    return _svg(_HALF, height, "Bits per byte with intervals", parts)


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> str:
    path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _kill(each: Interruption, x: Axis) -> str:
    place = x(each.last_step)
    side, offset = ("end", -6) if place > _WIDE * 0.6 else ("start", 6)
    lost = f", back in {each.seconds_lost:.1f} s" if each.seconds_lost is not None else ""
    return (
        f'<line class="kill" x1="{place:.1f}" x2="{place:.1f}" y1="14" y2="226"/>'
        f'<text class="kill" x="{place + offset:.1f}" y="28" text-anchor="{side}">'
        f"{escape(each.cause)} at step {each.last_step}{lost}</text>"
    )


def _grid_y(y: Axis, values: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="44" x2="{_WIDE - 12}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text class="axis" x="38" y="{y(value) + 4:.1f}" text-anchor="end">{tick_label(value)}</text>'
        for value in values
    )


def _labels_x(x: Axis, values: Sequence[float], y: int, unit: str = "") -> str:
    return "".join(
        f'<text class="axis" x="{x(value):.1f}" y="{y}" text-anchor="middle">{tick_label(value)}{unit}</text>'
        for value in values
    )


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
