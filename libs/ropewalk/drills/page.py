"""A scorecard as one self-contained HTML page, in the style of the report card."""

import math
from datetime import datetime

from ropewalk.drills.scorecard import seconds
from ropewalk.events.drill import DrillCompleted
from ropewalk.report.drawing import Dot, Drawing, Label, Line, Mark
from ropewalk.report.page import pages_of

_WIDTH, _LEFT, _RIGHT = 1000, 12, 988


def render_drill(card: DrillCompleted, began_at: datetime) -> str:
    """The page."""
    verdict = "passed" if card.passed else "failed"
    facts = (
        ("time to detect", _moment(card.detect_s, "nothing to detect"), "from the fault to its first sign"),
        ("time to recover", _moment(card.recover_s, "never"), "from the fault to working again"),
        ("lost", f"{card.lost} {card.lost_unit}", "counted in the log"),
        ("effects doubled", str(card.doubled), "counted in the log"),
        ("verdict", verdict, card.reason),
    )
    page = pages_of(__package__).get_template("drill.html")
    return page.render(card=card, began_at=began_at, verdict=verdict, facts=facts, course=_course(card))


def _moment(value: float, otherwise: str) -> str:
    return otherwise if math.isnan(value) else seconds(value)


def _course(card: DrillCompleted) -> Drawing | None:
    """The fault, its detection and the recovery on a line."""
    if math.isnan(card.recover_s):
        return None
    # A recovery within the clock's resolution would divide by zero below.
    end = max(card.recover_s, 0.001)
    moments = [(0.0, "fault", "start"), (end, "working again", "end")]
    if card.detect_s <= end:  # never so where nothing was detected (NaN)
        share = card.detect_s / end
        moments.insert(1, (card.detect_s, "noticed", "start" if share < 0.15 else "end" if share > 0.85 else "middle"))
    marks: list[Mark] = [Line(((_LEFT, 38), (_RIGHT, 38)), "kill")]
    for index, (at, label, anchor) in enumerate(moments):
        x = _LEFT + at / end * (_RIGHT - _LEFT)
        below = 62 if index != 1 else 24  # the one in the middle stands above the line, so that labels never touch
        marks += [Dot(x, 38, "kept", radius=5), Label(x, below, f"{label} {at:.2f} s", "name", anchor)]
    return Drawing(_WIDTH, 74, "course of the drill", marks)
