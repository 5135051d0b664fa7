"""Checks, all side by side, each with a deadline: what hangs is found like what is wrong, and holds nobody up."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import one_line

DEADLINE_S = 10.0
_LONGEST = 600  # characters of a sentence that holds words of others


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What a check saw. `remedy` says what to do; it is empty where all is well."""

    check: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A question. `remedy`: what to do where it is answered by an error of ours or of the system, or by nothing."""

    name: str
    ask: Callable[[], Iterable[Remark]]
    remedy: str


def look_at_all(checks: Sequence[Check], deadline_s: float = DEADLINE_S) -> list[Remark]:
    """The findings in the order of the checks. Takes `deadline_s` at most, whatever hangs."""
    found: dict[str, list[Remark]] = {}
    # Daemons: a check that hangs must not keep the command from ending.
    threads = [threading.Thread(target=_look, args=(check, found), daemon=True) for check in checks]
    end = time.monotonic() + deadline_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    known, told = dict(found), dict[str, Remark]()
    for check in checks:
        for finding in known[check.name] if check.name in known else [_silent(check, deadline_s)]:
            told.setdefault(finding.what, finding)  # a bus that is away is told once
    return list(told.values())


def _look(check: Check, found: dict[str, list[Remark]]) -> None:
    try:
        answer = list(check.ask())
    except (RopewalkError, OSError, ValueError) as error:
        answer = [Remark(check=check.name, what=str(error), remedy=check.remedy)]
    found[check.name] = [
        Remark(check=each.check, what=one_line(each.what, _LONGEST), remedy=one_line(each.remedy, _LONGEST))
        for each in answer
    ]


def _silent(check: Check, deadline_s: float) -> Remark:
    return Remark(check=check.name, what=f"{check.name}: no answer in {deadline_s:.0f} s", remedy=check.remedy)
