"""Must training stop because of a cap? Pure: what the recipe allows and what was used, in; the reason, out.

Time and money are decided from outside while a group runs, early enough that what is under way and the last
checkpoint still fit. Tokens are a step to stop at, so the same run stops at the same place whatever happened to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointPruned, CheckpointQuarantined
from ropewalk.events.run import StageStarted
from ropewalk.events.training import TrainingInterrupted
from ropewalk.recipes.recipe import Recipe

_REACTION_S = 1.0  # reports come twice a second
_START_S = 30.0  # at most, of a holder that left no sign: nobody knows when it vanished


@dataclass(frozen=True, kw_only=True)
class Use:
    """Seconds of the whole group: `spent_s` of all attempts, how long a step takes, how long the longest save took."""

    spent_s: float
    step_s: float = 0.0
    save_s: float = 0.0

    @property
    def spent_when_stopped_s(self) -> float:
        """If the workers are asked to stop now: the step under way, the next one, and a save."""
        return self.spent_s + 2 * self.step_s + 2 * self.save_s + _REACTION_S


def cap_reached(recipe: Recipe, use: Use) -> str:
    """Which cap would be exceeded if training went on; empty: none."""
    caps, hours = recipe.caps, use.spent_when_stopped_s / 3600
    if caps.minutes is not None and hours * 60 >= caps.minutes:
        return f"caps.minutes, {caps.minutes:g}"
    if caps.usd is not None and hours * recipe.usd_per_hour >= caps.usd:
        return f"caps.usd, {caps.usd:g}"
    return ""


def step_of_cap(recipe: Recipe) -> int:
    """The step before which training stops because the next would exceed the cap on tokens; 0: there is none."""
    if recipe.caps.tokens is None:
        return 0
    return max(1, recipe.caps.tokens // recipe.derived.tokens_per_step)


def seconds_spent(events: Iterable[tuple[Message, float]]) -> float:
    """Of all holders of the stage so far, from its start to the last sign in the log (Unix seconds), oldest first.

    One that vanished before its first sign was starting workers: that counts, or a crash loop would never be ended.
    """
    total, began, sign, silent = 0.0, 0.0, 0.0, False
    for event, stored_at in events:
        match event:
            case StageStarted():
                total += sign - began + (min(_START_S, stored_at - sign) if silent else 0.0)
                began, sign, silent = stored_at, stored_at, True
            case TrainingInterrupted(cause="service_lost") | CheckpointQuarantined() | CheckpointPruned():
                pass  # said by the next holder or by somebody else, which may have come hours later
            case _:
                began, sign, silent = began or stored_at, max(sign, stored_at), False
    return total + sign - began
