"""The epochs of a run's lease as marks in the object store, so that a worker without a bus knows when it is fenced off.

A mark is a sealed folder; that it is there is all it says. What slips between a look and the publishing hurts nobody:
the place of a checkpoint has its epoch in it, and a later holder has listed those of earlier epochs by then.
"""

import tempfile
from pathlib import Path

from ropewalk.storage.objects import ObjectStore
from ropewalk.trainer.adapters.worker.job import WorkerError


def claim_epoch(objects: ObjectStore, run_id: str, epoch: int) -> None:
    """From now on nobody of a lower epoch publishes a checkpoint of the run."""
    with tempfile.TemporaryDirectory(prefix="ropewalk-epoch-") as scratch:
        mark = Path(scratch) / "mark"
        mark.mkdir()
        objects.publish(mark, f"{_prefix(run_id)}{epoch}", {"run_id": run_id, "epoch": epoch})


def check_epoch(objects: ObjectStore, run_id: str, epoch: int) -> None:
    """Raises WorkerError if a later holder of the lease claimed the run."""
    newest = max((int(key.rpartition("/")[2]) for key in objects.list(_prefix(run_id))), default=0)
    if newest > epoch:
        raise WorkerError(
            f"the lease of run {run_id} has epoch {newest} by now, this worker is of epoch {epoch}: it ends"
        )


def _prefix(run_id: str) -> str:
    return f"runs/{run_id}/epochs/"
