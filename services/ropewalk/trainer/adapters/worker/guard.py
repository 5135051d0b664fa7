"""Which updates are applied: not those with a non-finite loss or gradient, nor sudden spikes.

The spike rule is OLMo's SkipStep (mean + 6 sigma of the last 128 accepted gradient norms, silent during the first
64), with two changes: the window is part of the checkpoint, so that a resumed run decides as the uninterrupted
one, and after a few spikes in a row the new level is accepted, since it is then no spike.
"""

import math
from collections import deque
from statistics import fmean

from pydantic import JsonValue

_WINDOW = 128
_SILENT = 64
_SIGMAS = 6.0
_MAX_SPIKES_IN_A_ROW = 5
MAX_SKIPS_IN_A_ROW = 20


class StepGuard:
    """Decides step by step; every rank holds an equal one, fed with all-reduced values."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self.skips_in_a_row = 0

    def reason_to_skip(self, loss: float, norm: float) -> str:
        """Why the update must not be applied; empty: apply it."""
        reason = self._reason(loss, norm)
        if reason:
            self.skips_in_a_row += 1
        else:
            self.skips_in_a_row = 0
            self._norms.append(norm)
        return reason

    @property
    def gives_up(self) -> bool:
        """Whether so many updates in a row could not be applied that going on makes no sense."""
        return self.skips_in_a_row >= MAX_SKIPS_IN_A_ROW

    def _reason(self, loss: float, norm: float) -> str:
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            return f"the gradient norm is {norm}"
        if self.skips_in_a_row >= _MAX_SPIKES_IN_A_ROW:
            self._norms.clear()  # learn the new level
        if len(self._norms) < _SILENT:
            return ""
        mean = fmean(self._norms)
        spread = fmean((norm - mean) ** 2 for norm in self._norms) ** 0.5  # pstdev takes most of a millisecond
        limit = mean + _SIGMAS * spread
        return f"the gradient norm {norm:.4g} is above {limit:.4g}" if norm > limit else ""

    def as_json(self) -> dict[str, JsonValue]:
        """The state for a checkpoint. Python prints floats so that they read back to the same bits."""
        return {"norms": list(self._norms), "skips_in_a_row": self.skips_in_a_row}

    def restore(self, state: dict[str, JsonValue]) -> None:
        """Take over the state of a checkpoint."""
        norms, skips = state["norms"], state["skips_in_a_row"]
        assert isinstance(norms, list)
        assert isinstance(skips, int)
        self._norms = deque((float(str(norm)) for norm in norms), maxlen=_WINDOW)
        self.skips_in_a_row = skips
