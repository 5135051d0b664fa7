"""A run ends once: its terminal event is committed together with `RunEnding`, which can only be written once."""

from collections.abc import Sequence

from ropewalk.events.run import EndingKind, RunCancelled, RunCompleted, RunEnding, RunFailed, RunRejected
from ropewalk.runtime.sending import Outgoing

_KINDS: dict[str, EndingKind] = {
    RunCompleted.subject_prefix(): "completed",
    RunFailed.subject_prefix(): "failed",
    RunCancelled.subject_prefix(): "cancelled",
    RunRejected.subject_prefix(): "rejected",
}


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
