"""What follows from how a stage's work ended. Plain values in, plain values out."""

from dataclasses import dataclass

from ropewalk.events.base import Message
from ropewalk.events.run import StageState, StageStatus

MAX_ATTEMPTS = 4
_BACK_OFF_S = (0.5, 2.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one attempt ended: with messages, with a reason, or because the run was cancelled."""

    messages: tuple[Message, ...] = ()
    reason: str = ""
    hopeless: bool = False
    cancelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The state to commit, or the pause before the next attempt."""

    status: StageStatus
    again_after_s: float | None = None


def judge(ending: Ending, attempt: int) -> Verdict:
    """Decide after attempt number `attempt` (1 = first)."""
    if ending.cancelled:
        return Verdict(status="cancelled")
    if not ending.reason:
        return Verdict(status="done")
    if ending.hopeless or attempt >= MAX_ATTEMPTS:
        return Verdict(status="failed")
    return Verdict(status="running", again_after_s=_BACK_OFF_S[min(attempt, len(_BACK_OFF_S)) - 1])


def may_begin(state: StageState | None, cause_id: str) -> bool:
    """Whether a request starts the stage: not if it did so before, nor while another request is being worked on."""
    return state is None or (state.cause_id != cause_id and state.status != "running")
