"""What follows from how a stage's work ended. Plain values in, plain values out."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ropewalk.events.base import Message
from ropewalk.events.foreign import cut
from ropewalk.events.run import StageState, StageStatus

Cause = Literal["error", "raised", "child", "lost", "stalled", "handed over"]

# How often a stage may be tried again, by what ended the attempt. Faults of machines are many over a long training
# and say nothing about the work; an error that the work itself raises is repeated once, to be sure.
RETRIES: Mapping[Cause, int] = {"error": 3, "raised": 1, "child": 5, "lost": 20, "stalled": 2}
_BACK_OFF_S = (0.5, 2.0, 5.0)  # before the second, the third and every later attempt
_MAX_REASON = 4000  # characters; it travels in events and is read in lists
_IN_WORDS: Mapping[Cause, str] = {
    "error": "it failed",
    "raised": "it raised an error",
    "child": "its process died",
    "lost": "its service was lost",
    "stalled": "it made no progress",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one attempt ended: with messages, with a reason and its cause, or because the run was cancelled or paused.

    `hopeless` means that another attempt makes no sense whatever the budget says.
    """

    messages: tuple[Message, ...] = ()
    reason: str = ""
    cause: Cause = "error"
    hopeless: bool = False
    cancelled: bool = False
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The state to commit, with a sentence if it failed, or the pause before the next attempt."""

    status: StageStatus
    again_after_s: float | None = None
    message: str = ""


def judge(ending: Ending, retries: Mapping[str, int]) -> Verdict:
    """Decide after an attempt; `retries` says how many were used up before, by cause."""
    if ending.cancelled:
        return Verdict(status="cancelled")
    if ending.paused:
        return Verdict(status="queued")
    if not ending.reason:
        return Verdict(status="done")
    if ending.hopeless:
        return Verdict(status="failed", message=cut(ending.reason, _MAX_REASON))
    used = retries.get(ending.cause, 0)
    if is_exhausted(ending.cause, retries):
        words = f"{_IN_WORDS[ending.cause]} {used + 1} times, last with: {ending.reason[-1500:]}"
        return Verdict(status="failed", message=words)
    return Verdict(status="running", again_after_s=_BACK_OFF_S[min(used, len(_BACK_OFF_S) - 1)])


def is_exhausted(cause: Cause, retries: Mapping[str, int]) -> bool:
    """Whether the budget of a cause is used up. A stage that is handed over uses nothing."""
    return cause in RETRIES and retries.get(cause, 0) >= RETRIES[cause]


def tried_again(state: StageState, cause: Cause) -> StageState:
    """The state of the next attempt."""
    retries = state.retries if cause == "handed over" else {**state.retries, cause: state.retries.get(cause, 0) + 1}
    return state.model_copy(update={"attempt": state.attempt + 1, "retries": retries, "operation_id": uuid.uuid4().hex})


def may_begin(state: StageState | None, cause_id: str) -> bool:
    """Whether a request starts the stage: not if it did so before, nor while another request is being worked on."""
    return state is None or (state.cause_id != cause_id and state.status not in ("queued", "running"))
