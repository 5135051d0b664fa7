"""Warm-up, stable, decay: the learning rate as a pure function of the step (WSD, arXiv 2404.06395)."""

import math
from dataclasses import dataclass
from typing import Literal

_FLOOR = 0.05


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear over `warmup_steps`, constant until `decay_start`, then falling to 5 % at `total_steps`.

    The fall is linear, or half a cosine (arXiv 1608.03983).
    """

    total_steps: int
    warmup_steps: int
    decay_start: int
    decay: Literal["linear", "cosine"] = "linear"

    def scale(self, step: int) -> float:
        """The factor on the peak rate for 0-based `step`; never 0, so that the first step moves."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if step < self.decay_start:
            return 1.0
        left = max(0, self.total_steps - step) / max(1, self.total_steps - self.decay_start)
        if self.decay == "cosine":
            left = 0.5 - 0.5 * math.cos(math.pi * left)
        return _FLOOR + (1.0 - _FLOOR) * left
