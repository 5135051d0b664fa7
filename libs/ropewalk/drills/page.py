"""A scorecard as one self-contained HTML page, in the style of the report card."""

import math
from datetime import datetime
from html import escape

from ropewalk.drills.scorecard import seconds
from ropewalk.events.drill import DrillCheck, DrillCompleted
from ropewalk.report.page import Page, facts_grid, render_page, section

_STYLE = """
.verdict { display: inline-block; padding: 1px 12px; border-radius: 12px; font-size: 15px; font-weight: 650;
  color: #fff; background: var(--accent); vertical-align: 4px; margin-left: 10px; letter-spacing: 0; }
.verdict.failed { background: var(--bad); }
td.mark { width: 1.6em; font-weight: 700; color: var(--accent); } tr.bad td, tr.bad td.mark { color: var(--bad); }
table.checks td { text-align: left; vertical-align: top; } table.checks td:nth-child(2) { white-space: nowrap; }
@media (max-width: 600px) { section { overflow-x: auto; } section svg { min-width: 620px; }
  table.checks td:nth-child(2) { white-space: normal; } }
"""
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 1000, 74, 12, 988


def render_drill(card: DrillCompleted, began_at: datetime) -> str:
    """The page."""
    return render_page(
        Page(
            kind="Ropewalk drill scorecard",
            title=f"{card.drill} · {card.target}",
            heading=f'{escape(card.drill)}<span class="verdict {_word(card)}">{_word(card)}</span>',
            below=f"{card.target} · began {began_at:%Y-%m-%d %H:%M:%S} UTC",
            body=f"{_facts(card)}{_course(card)}{_checks(card.checks)}",
            footer=(
                f"Times are those of the log. {card.drill_id} · seed {card.seed} ·"
                f" sequences {card.first_sequence} to {card.last_sequence}"
            ),
            style=_STYLE,
        )
    )


def _word(card: DrillCompleted) -> str:
    return "passed" if card.passed else "failed"


def _facts(card: DrillCompleted) -> str:
    cells = (
        ("time to detect", _moment(card.detect_s, "nothing to detect"), "from the fault to its first sign"),
        ("time to recover", _moment(card.recover_s, "never"), "from the fault to working again"),
        ("lost", f"{card.lost} {card.lost_unit}", "counted in the log"),
        ("effects doubled", str(card.doubled), "counted in the log"),
        ("verdict", _word(card), card.reason),
    )
    return facts_grid(cells)


def _moment(value: float, otherwise: str) -> str:
    return otherwise if math.isnan(value) else seconds(value)


def _course(card: DrillCompleted) -> str:
    """The fault, its detection and the recovery on a line."""
    if math.isnan(card.recover_s):
        return ""
    end = max(card.recover_s, 0.001)
    noticed = card.detect_s if card.detect_s <= end else math.nan
    marks = [(0.0, "fault", "start"), (end, "working again", "end")]
    if not math.isnan(noticed):
        share = noticed / end
        marks.insert(1, (noticed, "noticed", "start" if share < 0.15 else "end" if share > 0.85 else "middle"))
    body = "".join(_mark(at / end, label, at, anchor, index) for index, (at, label, anchor) in enumerate(marks))
    line = f'<line class="kill" x1="{_LEFT}" x2="{_RIGHT}" y1="38" y2="38"/>'
    drawing = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="course of the drill">{line}{body}</svg>'
    return section("Course", drawing)


def _mark(share: float, label: str, at: float, anchor: str, index: int) -> str:
    x = _LEFT + share * (_RIGHT - _LEFT)
    below = 62 if index != 1 else 24  # the one in the middle stands above the line, so that labels never touch
    return (
        f'<circle class="kept" cx="{x:.1f}" cy="38" r="5"/>'
        f'<text x="{x:.1f}" y="{below}" text-anchor="{anchor}">{escape(label)} {at:.2f} s</text>'
    )


def _checks(checks: tuple[DrillCheck, ...]) -> str:
    rows = "".join(
        f'<tr class="{"" if each.passed else "bad"}"><td class="mark">{"✓" if each.passed else "✗"}</td>'
        f"<td>{escape(each.name)}</td><td>{escape(each.detail)}</td></tr>"
        for each in checks
    )
    return section("Checked", f'<table class="checks"><tbody>{rows}</tbody></table>')
