"""Durations as people write them: `90s`, `30m`, `2h`, `1.5d`."""

import re

import typer

from ropewalk.events.foreign import cut
from ropewalk.events.streams import LONGEST_TIMER_S

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str, option: str) -> float:
    """The duration in seconds. Raises typer.BadParameter naming the option and the value."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    # A deadline of 0 means none inside; typed, it is a mistake.
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(
            f"{option} is {cut(text)!r}: write a number above 0 and a unit, such as 90s, 30m, 2h or 1d"
        )
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > LONGEST_TIMER_S:
        raise typer.BadParameter(f"{option} is {cut(text)!r}: the longest is 29d, for no timer waits longer")
    return seconds
