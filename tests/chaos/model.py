"""The model of a stage: which snapshot may follow which. Pure; it knows nothing of how the runner does it."""

from collections.abc import Iterator

from ropewalk.events.run import StageState

FINAL = frozenset({"done", "failed", "cancelled"})

# From -> to. `None`: there was no snapshot. A final status is never left within one run.
LEGAL: dict[str | None, frozenset[str]] = {
    None: frozenset({"queued", "running", "failed", "cancelled"}),
    "queued": frozenset({"queued", "running", "failed", "cancelled"}),
    "running": frozenset({"running", "queued", "done", "failed", "cancelled"}),
    "done": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


def faults_of_step(before: StageState | None, after: StageState) -> Iterator[str]:
    """What is wrong with `after` as the successor of `before`."""
    status = before.status if before else None
    if after.status not in LEGAL[status]:
        yield f"went from {status} to {after.status}"
    if after.status == "running" and after.epoch <= 0:
        yield "runs without a fencing epoch"
    if before is not None:
        yield from _faults_of_fields(before, after)
        yield from _faults_of_epoch(before, after)


def _faults_of_fields(before: StageState, after: StageState) -> Iterator[str]:
    if after.operation_id == before.operation_id:
        yield f"operation {after.operation_id} was committed twice"
    if after.attempt < before.attempt:
        yield f"attempt {after.attempt} came after attempt {before.attempt}"
    if after.cause_id != before.cause_id:
        yield f"was asked for by {before.cause_id} and then by {after.cause_id}"


def _faults_of_epoch(before: StageState, after: StageState) -> Iterator[str]:
    if after.epoch < before.epoch:
        yield f"epoch {after.epoch} committed after epoch {before.epoch}"
    if after.epoch != before.epoch:
        if after.status == "done":
            yield f"was ended by epoch {after.epoch}, but epoch {before.epoch} was running"
        return
    if before.status == after.status == "running" and after.attempt == before.attempt:
        yield f"attempt {after.attempt} of epoch {after.epoch} began twice"
    if before.status == "queued" and after.status == "running":
        yield f"ran again under epoch {after.epoch}, which had ended"
