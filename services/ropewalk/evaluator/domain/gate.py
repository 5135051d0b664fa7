"""May this checkpoint go into production?

`promote` iff the lower bound of the gain is above the margin, `reject` iff the upper bound is below it, else
`need_more`. Below MIN_CLUSTERS files an interval is not trusted, whatever it says.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ropewalk.events.evaluation import Estimate

MIN_CLUSTERS = 20


@dataclass(frozen=True)
class Decision:
    """The gate's word and the sentences that explain it."""

    decision: Literal["promote", "reject", "need_more"]
    reasons: tuple[str, ...]


def decide(gain: Estimate, margin: float, baseline: str) -> Decision:
    """Judge the paired gain in bits per byte (baseline minus candidate; positive is better)."""
    if gain.num_items < MIN_CLUSTERS:
        return Decision("need_more", (_too_few(gain.num_items),))
    direction = "fewer" if gain.value >= 0 else "more"
    measured = (
        f"the candidate needs {abs(gain.value):.3f} {direction} bits per byte than {baseline} "
        f"({gain.level:.0%} interval of the gain {gain.lower:.3f} to {gain.upper:.3f}, {gain.num_items} files)"
    )
    if gain.lower > margin:
        return Decision("promote", (f"{measured}: the whole interval is above the margin of {margin:g}",))
    if gain.upper < margin:
        return Decision("reject", (f"{measured}: the whole interval is below the margin of {margin:g}",))
    return Decision("need_more", (f"{measured}: the interval holds the margin of {margin:g}", _how_many(gain, margin)))


def _too_few(files: int) -> str:
    return (
        f"only {files} held-out files were scored and the gate needs {MIN_CLUSTERS}, so {MIN_CLUSTERS - files} are "
        "missing: add sources or raise evaluation.held_out_fraction"
    )


def _how_many(gain: Estimate, margin: float) -> str:
    """An interval shrinks with the square root of the number of files."""
    distance = abs(gain.value - margin)
    width = (gain.upper - gain.lower) / 2
    if distance == 0 or not math.isfinite(width):
        return "no number of files would settle a difference this small: the two are equal as far as can be seen"
    needed = math.ceil(gain.num_items * (width / distance) ** 2)
    more = max(1, needed - gain.num_items)
    return f"about {more} more held-out files would settle it if the difference stays as it is"
