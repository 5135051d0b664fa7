"""A run ends once: its terminal event is committed together with `RunEnding`, which can only be written once.

What was rejected is never accepted, and what was accepted is never rejected: each is stored only while the other is
not there, whichever instance decided on it.
"""

from collections.abc import Sequence

from ropewalk.bus.sending import Outgoing
from ropewalk.events.run import EndingKind, RunAccepted, RunCancelled, RunCompleted, RunEnding, RunFailed, RunRejected

_KINDS: dict[str, EndingKind] = {
    RunCompleted.subject_prefix(): "completed",
    RunFailed.subject_prefix(): "failed",
    RunCancelled.subject_prefix(): "cancelled",
    RunRejected.subject_prefix(): "rejected",
}
_EXCLUDED_BY: dict[str, str] = {  # checked by the server in the moment of storing, so no race decides
    RunAccepted.subject_prefix(): RunEnding.subject_prefix(),
    RunRejected.subject_prefix(): RunAccepted.subject_prefix(),
}


def excluded_by(subject: str) -> str:
    """The subject on which nothing may lie when a message is stored on this one; empty if it does not matter."""
    prefix, _, run_id = subject.rpartition(".")
    other = _EXCLUDED_BY.get(prefix)
    return f"{other}.{run_id}" if other else ""


def ending_of(outgoing: Outgoing) -> RunEnding | None:
    """What has to be written together with a message: nothing, unless it ends a run."""
    prefix, _, run_id = outgoing.subject.rpartition(".")
    kind = _KINDS.get(prefix)
    return None if kind is None else RunEnding(run_id=run_id, kind=kind, event_id=outgoing.headers["ce-id"])


def endings_of(batch: Sequence[Outgoing]) -> list[RunEnding]:
    """The endings of every run that a batch ends."""
    return [ending for outgoing in batch if (ending := ending_of(outgoing)) is not None]


def with_first_endings(batch: Sequence[Outgoing]) -> list[Outgoing]:
    """The batch with only the first terminal event of each run: no server would ever take it with a second one."""
    ended: set[str] = set()
    left: list[Outgoing] = []
    for outgoing in batch:
        ending = ending_of(outgoing)
        if ending is not None and ending.run_id in ended:
            continue
        if ending is not None:
            ended.add(ending.run_id)
        left.append(outgoing)
    return left
