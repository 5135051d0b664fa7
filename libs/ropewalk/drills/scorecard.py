"""From what a drill saw to its verdict. Pure: values in, a `DrillCompleted` out."""

import math
from dataclasses import dataclass

from ropewalk.events.drill import DrillCheck, DrillCompleted, DrillStarted


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What was seen. A time is in seconds since the fault, None if it never came."""

    detect_s: float | None
    recover_s: float | None
    lost: int = 0
    lost_unit: str = "messages"
    doubled: tuple[str, ...] = ()
    checks: tuple[DrillCheck, ...] = ()


def check(name: str, passed: bool, detail: str) -> DrillCheck:
    """One line of the scorecard."""
    return DrillCheck(name=name, passed=passed, detail=detail)


def check_came(name: str, after_s: float | None, what: str, otherwise: str) -> DrillCheck:
    """A line about something that had to come, and came after so many seconds if at all."""
    return check(name, after_s is not None, otherwise if after_s is None else f"{what} after {after_s:.1f} s")


def earliest(*moments: float | None) -> float | None:
    """The first of those that came."""
    return min((each for each in moments if each is not None), default=None)


def conclude(fault: DrillStarted, seen: Observed, *, first_sequence: int, last_sequence: int) -> DrillCompleted:
    """The scorecard: passed if it recovered, nothing was lost or doubled and every check holds.

    The sequences are where in the log the drill began and where it is judged.
    """
    once = check("effects once", not seen.doubled, "; ".join(seen.doubled[:5]) or "nothing is in the log twice")
    checks = (*seen.checks, once)
    failures = _failures(seen, checks)
    return DrillCompleted(
        run_id=fault.run_id,
        drill_id=fault.drill_id,
        drill=fault.drill,
        target=fault.target,
        seed=fault.seed,
        passed=not failures,
        reason="; ".join(failures) or _praise(seen),
        detect_s=_number(seen.detect_s),
        recover_s=_number(seen.recover_s),
        lost=seen.lost,
        lost_unit=seen.lost_unit,
        doubled=len(seen.doubled),
        checks=checks,
        first_sequence=first_sequence,
        last_sequence=last_sequence,
    )


def seconds(value: float) -> str:
    """`11.2 s`, or `never`."""
    return "never" if math.isnan(value) else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def _failures(seen: Observed, checks: tuple[DrillCheck, ...]) -> list[str]:
    found = []
    if seen.recover_s is None:
        found.append("it did not recover in the time given")
    if seen.lost:
        found.append(f"{seen.lost} {seen.lost_unit} lost")
    return found + [f"{each.name}: {each.detail}" for each in checks if not each.passed]


def _praise(seen: Observed) -> str:
    noticed = "" if seen.detect_s is None else f"noticed after {seconds(seen.detect_s)}, "
    assert seen.recover_s is not None
    return f"{noticed}working again after {seconds(seen.recover_s)}, no {seen.lost_unit} lost, nothing doubled"


def _number(value: float | None) -> float:
    return math.nan if value is None else max(0.0, round(value, 3))
