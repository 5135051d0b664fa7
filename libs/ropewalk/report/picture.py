"""The card as one PNG page, drawn with matplotlib, with the content of the HTML page."""

import textwrap
from pathlib import Path
from typing import Any

from ropewalk.report.card import ReportCard
from ropewalk.report.curve import curve_of
from ropewalk.report.facts import (
    comparison,
    data_sentence,
    duration,
    headline,
    interval,
    key_facts,
    money,
    training_sentence,
)

_INK, _SOFT, _RULE, _ACCENT, _BAD, _GREY = "#1d2733", "#5d6b7a", "#e3e8ed", "#0b6e8f", "#b3362b", "#8d9aa6"
_PER_ROW = 4


def write_picture(card: ReportCard, path: Path) -> None:
    """Draw the card. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second of imports, only when a card is drawn
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 14.6), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    _head(figure, card)
    _facts(figure, card)
    _loss(figure.add_axes((0.07, 0.47, 0.88, 0.18)), card)
    _text(figure, 0.05, 0.438, training_sentence(card), size=9.5, colour=_SOFT)
    _intervals(figure.add_axes((0.17, 0.27, 0.19, 0.125)), card)
    _stages(figure.add_axes((0.60, 0.235, 0.33, 0.165)), card)
    _trials(figure, card)
    _costs(figure, card)
    _foot(figure, card)
    figure.savefig(path, format="png")


def _head(figure: Any, card: ReportCard) -> None:
    _text(figure, 0.05, 0.973, "Ropewalk report card", size=11, colour=_SOFT)
    _text(figure, 0.05, 0.945, headline(card), size=22, weight="bold")
    _text(figure, 0.05, 0.929, f"{card.run_id} · began {card.began_at:%Y-%m-%d %H:%M:%S} UTC", size=10.5, colour=_SOFT)


def _facts(figure: Any, card: ReportCard) -> None:
    for number, (name, value, remark) in enumerate(key_facts(card)):
        left = 0.05 + (number % _PER_ROW) * 0.235
        top = 0.895 - (number // _PER_ROW) * 0.074
        _text(figure, left, top, name, size=9.5, colour=_SOFT)
        _text(figure, left, top - 0.018, value, size=15.5, weight="bold")
        lines = textwrap.wrap(remark, 40, max_lines=3, placeholder=" …")
        _text(figure, left, top - 0.0245, "\n".join(lines), size=8.5, colour=_SOFT, anchor="top")


def _loss(axes: Any, card: ReportCard) -> None:
    curve = curve_of(card.losses)
    _plain(axes, "Training loss, nats per token, over steps")
    axes.grid(axis="y", color=_RULE)
    for line in curve.lost:
        axes.plot(*zip(*line, strict=True), color=_GREY, linewidth=1)
    if curve.kept:
        axes.plot(*zip(*curve.kept, strict=True), color=_ACCENT, linewidth=1.4)
        axes.set_xlim(0, curve.kept[-1][0])
    for each in card.interruptions:
        axes.axvline(each.last_step, color=_BAD, linestyle="--", linewidth=1)
        lost = f", back in {each.seconds_lost:.1f} s" if each.seconds_lost is not None else ""
        label = f" {each.cause} at step {each.last_step}{lost} "
        late = bool(curve.kept) and each.last_step > 0.6 * curve.kept[-1][0]
        axes.text(
            each.last_step,
            0.93,
            label,
            transform=axes.get_xaxis_transform(),
            color=_BAD,
            fontsize=9,
            ha="right" if late else "left",
        )


def _intervals(axes: Any, card: ReportCard) -> None:
    _plain(axes, "Bits per byte on held-out files (lower is better)", title_x=-0.63)
    rows = comparison(card)
    for row, (_, estimate) in enumerate(rows):
        colour = _ACCENT if row == 0 else _GREY
        axes.plot((estimate.lower, estimate.upper), (row, row), color=colour, linewidth=2)
        axes.plot((estimate.value,), (row,), marker="o", color=colour, markersize=6)
        axes.text(1.04, row, interval(estimate), transform=axes.get_yaxis_transform(), fontsize=9, va="center")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _stages(axes: Any, card: ReportCard) -> None:
    _plain(axes, "Time per stage, seconds", title_x=-0.16)
    for row, stage in enumerate(card.stages):
        axes.barh(row, max(stage.seconds, 0.2), left=stage.begin_s, color=_ACCENT, height=0.62)
        axes.text(
            stage.begin_s + stage.seconds, row, f"  {duration(stage.seconds)}", fontsize=8, va="center", color=_SOFT
        )
    axes.set_yticks(range(len(card.stages)), [stage.name for stage in card.stages])
    axes.set_ylim(len(card.stages) - 0.4, -0.6)


def _trials(figure: Any, card: ReportCard) -> None:
    names = sorted({name for trial in card.trials for name in trial.params})
    lines = [f"{'trial':<7}{''.join(f'{name:>11}' for name in names)}{'steps':>7}{'loss':>9}  state"]
    for trial in card.trials:
        params = "".join(f"{trial.params[name]:>11.3g}" if name in trial.params else " " * 11 for name in names)
        state = "chosen" if trial.chosen else trial.status
        lines.append(f"{trial.trial:<7}{params}{trial.num_steps:>7}{trial.loss:>9.3f}  {state}")
    _text(figure, 0.05, 0.195, "Search", size=10.5, weight="bold")
    shown = "\n".join(lines[:9]) if card.trials else "no trials were asked for"
    _text(figure, 0.05, 0.187, shown, size=8.5, family="monospace", anchor="top")


def _costs(figure: Any, card: ReportCard) -> None:
    lines = [f"{'stage':<12}{'CPU-seconds':>12}{'cost':>12}"]
    lines += [f"{stage.name:<12}{stage.cpu_seconds:>12,.1f}{money(stage.usd):>12}" for stage in card.stages]
    lines.append(f"{'all':<12}{card.cpu_seconds:>12,.1f}{money(card.usd):>12}")
    _text(figure, 0.53, 0.195, "Cost per stage", size=10.5, weight="bold")
    _text(figure, 0.53, 0.187, "\n".join(lines), size=8.5, family="monospace", anchor="top")


def _foot(figure: Any, card: ReportCard) -> None:
    _text(figure, 0.05, 0.108, "Data", size=10.5, weight="bold")
    _text(figure, 0.05, 0.1, "\n".join(textwrap.wrap(data_sentence(card), 68)), size=8.5, colour=_SOFT, anchor="top")
    if card.curl:
        curl = "\n".join(textwrap.wrap(card.curl, 128, break_long_words=False, break_on_hyphens=False))
        _text(figure, 0.05, 0.03, curl, size=7.6, family="monospace", anchor="top")


def _plain(axes: Any, title: str, title_x: float = 0.0) -> None:
    axes.text(title_x, 1.07, title, transform=axes.transAxes, fontsize=10.5, color=_INK, weight="bold")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(length=0, labelsize=9, labelcolor=_SOFT)


def _text(figure: Any, x: float, y: float, text: str, *, size: float, **style: str) -> None:
    figure.text(
        x,
        y,
        text.replace("$", r"\$"),
        fontsize=size,
        color=style.get("colour", _INK),
        weight=style.get("weight", "normal"),
        family=style.get("family", "sans-serif"),
        va=style.get("anchor", "baseline"),
        linespacing=1.35,
    )
