"""The charts of the HTML card as inline SVG, without scripts or outside files."""

from collections.abc import Callable, Sequence
from html import escape

from ropewalk.events.evaluation import Estimate
from ropewalk.report.axes import Axis, tick_label, ticks
from ropewalk.report.card import Interruption, LossPoint, StageLine
from ropewalk.report.curve import Curve, curve_of
from ropewalk.report.facts import duration, interval

_WIDE, _HALF, _PHONE = 990, 474, 350  # as wide as shown, so that every chart has the same letters
_ROW = 24


def for_every_screen(draw: Callable[[int], str], width: int) -> str:
    """A drawing as wide as a page and one as wide as a telephone; the page's style shows the one that can be read."""
    return f'<div class="wide">{draw(width)}</div><div class="phone">{draw(_PHONE)}</div>'


def loss_chart(
    points: Sequence[LossPoint], interruptions: Sequence[Interruption], bits_per_byte: Callable[[float], float | None]
) -> str:
    """Training loss over steps, the kill marked, in nats per token and in bits per byte; empty without points."""
    curve = curve_of(points)
    if not curve.kept:
        return ""
    return for_every_screen(lambda width: _loss_chart(curve, interruptions, bits_per_byte, width), _WIDE)


def _loss_chart(
    curve: Curve, interruptions: Sequence[Interruption], bits_per_byte: Callable[[float], float | None], width: int
) -> str:
    everything = [*curve.kept, *(point for line in curve.lost for point in line)]
    low, high = min(loss for _, loss in everything), max(loss for _, loss in everything)
    last = max(step for step, _ in everything)
    has_bytes = bits_per_byte(1.0) is not None
    right = width - (52 if has_bytes else 12)
    x, y = Axis(0, last, 44, right), Axis(low, high, 226, 24)
    parts = [_grid_y(y, ticks(low, high), right), _labels_x(x, ticks(0, last, 6 if width == _WIDE else 3), 246)]
    parts += [_bytes_scale(y, ticks(low, high), right, bits_per_byte)] if has_bytes else []
    parts += [_line(line, x, y, "lost") for line in curve.lost]
    parts.append(_line(curve.kept, x, y, "kept"))
    parts += [_kill(each, x, is_wide=width == _WIDE) for each in interruptions]
    parts.append(f'<text class="axis" x="{right}" y="262" text-anchor="end">step</text>')
    parts.append('<text class="axis" x="4" y="12">loss: nats per token</text>')
    return _svg(width, 266, "Training loss over steps", parts)


def _bytes_scale(y: Axis, values: Sequence[float], right: int, bits_per_byte: Callable[[float], float | None]) -> str:
    """The same loss in the unit that models of other tokenizers can be compared in."""
    labels = "".join(
        f'<text class="axis" x="{right + 6}" y="{y(value) + 4:.1f}">{bits_per_byte(value):.2f}</text>'
        for value in values
    )
    return f'{labels}<text class="axis" x="{right + 48}" y="12" text-anchor="end">bits per byte</text>'


def stage_chart(stages: Sequence[StageLine]) -> str:
    """When each stage ran; empty without stages."""
    return for_every_screen(lambda width: _stage_chart(stages, width), _HALF) if stages else ""


def _stage_chart(stages: Sequence[StageLine], width: int) -> str:
    end = max(stage.begin_s + stage.seconds for stage in stages)
    x = Axis(0, end, 84, width - 78)
    height = _ROW * len(stages) + 30
    parts = [_labels_x(x, ticks(0, end, 6 if width == _HALF else 3), height - 8, unit=" s")]
    for row, stage in enumerate(stages):
        top = row * _ROW + 4
        length = max(2.0, x(stage.begin_s + stage.seconds) - x(stage.begin_s))
        parts.append(f'<text class="name" x="78" y="{top + 13}" text-anchor="end">{escape(stage.name)}</text>')
        parts.append(
            f'<rect class="bar" x="{x(stage.begin_s):.1f}" y="{top + 2}" width="{length:.1f}" height="14" rx="2"/>'
        )
        label_x = x(stage.begin_s) + length + 6
        parts.append(f'<text class="axis" x="{label_x:.1f}" y="{top + 13}">{duration(stage.seconds)}</text>')
    return _svg(width, height, "Time per stage", parts)


def interval_chart(rows: Sequence[tuple[str, Estimate]]) -> str:
    """Estimates with their intervals on one axis; empty without rows."""
    return for_every_screen(lambda width: _interval_chart(rows, width), _HALF) if rows else ""


def _interval_chart(rows: Sequence[tuple[str, Estimate]], width: int) -> str:
    low = min(estimate.lower for _, estimate in rows)
    high = max(estimate.upper for _, estimate in rows)
    margin = max(0.02, (high - low) * 0.08)
    x = Axis(low - margin, high + margin, 130, width - 146)
    height = _ROW * len(rows) + 34
    parts = [_labels_x(x, ticks(low, high, 5 if width == _HALF else 2), height - 10)]
    for row, (name, estimate) in enumerate(rows):
        middle = row * _ROW + 16
        kind = "kept" if row == 0 else "other"
        parts.append(f'<text class="name" x="120" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        ends = f'x1="{x(estimate.lower):.1f}" x2="{x(estimate.upper):.1f}"'
        parts.append(f'<line class="{kind}" {ends} y1="{middle}" y2="{middle}"/>')
        parts.append(f'<circle class="{kind}" cx="{x(estimate.value):.1f}" cy="{middle}" r="4.5"/>')
        parts.append(f'<text class="axis" x="{width - 134}" y="{middle + 4}">{interval(estimate)}</text>')
    return _svg(width, height, "Bits per byte with intervals", parts)


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> str:
    path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _kill(each: Interruption, x: Axis, *, is_wide: bool) -> str:
    place = x(each.last_step)
    side, offset = ("end", -6) if place > x.begin + 0.6 * (x.end - x.begin) else ("start", 6)
    lost = f", back in {each.seconds_lost:.1f} s" if each.seconds_lost is not None else ""
    label = f"{each.cause} at step {each.last_step}{lost}" if is_wide else f"loss at step {each.last_step}"
    return (
        f'<line class="kill" x1="{place:.1f}" x2="{place:.1f}" y1="24" y2="226"/>'
        f'<text class="kill" x="{place + offset:.1f}" y="38" text-anchor="{side}">{escape(label)}</text>'
    )


def _grid_y(y: Axis, values: Sequence[float], right: int) -> str:
    return "".join(
        f'<line class="grid" x1="44" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
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
