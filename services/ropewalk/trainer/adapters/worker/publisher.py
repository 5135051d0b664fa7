"""Checkpoints go to the object store from a thread, so that training only waits for the copy in memory.

At most one is in flight. A failure to write is a value, not an exception: training goes on and tries again. Weights
that are not finite are an exception: nothing that follows from them is worth a step.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from ropewalk.corpus.ledger import LEDGER
from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.foreign import cut
from ropewalk.events.training import StepsCommitted
from ropewalk.trainer.adapters.worker.checkpoint import (
    CheckpointContent,
    check_finite,
    checkpoint_key,
    write_checkpoint,
)
from ropewalk.trainer.adapters.worker.job import CheckpointFailed, CheckpointWritten, WorkerJob

SaveOutcome = CheckpointWritten | CheckpointFailed


class CheckpointPublisher:
    """Writes, seals and publishes the checkpoints of one job. Used by rank 0."""

    def __init__(self, job: WorkerJob, parent_id: str) -> None:
        self._job = job
        self._objects = job.store.connect()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._flight: Future[SaveOutcome] | None = None
        self.parent_id = parent_id  # the last checkpoint that was written

    def start(self, content: CheckpointContent, started: float) -> None:
        """Begin to write. `started` (monotonic) is when training stopped for it; the flight before must be over."""
        assert self._flight is None, "one checkpoint at a time"
        blocked_s = time.monotonic() - started
        self._flight = self._thread.submit(self._write, content, blocked_s)

    def landed(self, *, wait: bool) -> SaveOutcome | None:
        """How the checkpoint in flight ended; None if there is none or, without `wait`, it is still flying.

        Raises NotFiniteError.
        """
        if self._flight is None or not (wait or self._flight.done()):
            return None
        outcome = self._flight.result()
        self._flight = None
        if isinstance(outcome, CheckpointWritten):
            self.parent_id = outcome.saved.checkpoint_id
        return outcome

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown(wait=True)

    def _write(self, content: CheckpointContent, blocked_s: float) -> SaveOutcome:
        try:
            return self._publish(content, blocked_s)
        except OSError as error:
            job, step = self._job, content.state.step
            return CheckpointFailed(
                failed=CheckpointSaveFailed(
                    run_id=job.run_id,
                    checkpoint_id=self._id(step),
                    epoch=job.epoch,
                    step=step,
                    reason=cut(str(error), 1000),
                )
            )

    def _publish(self, content: CheckpointContent, blocked_s: float) -> CheckpointWritten:
        job, step = self._job, content.state.step
        content.snapshot.wait()
        check_finite(content)
        self._job.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=job.scratch))
        key = checkpoint_key(job.run_id, job.epoch, step)
        checkpoint_id = self._id(step)
        try:
            with _writing_to(str(job.scratch)):
                write_checkpoint(content, folder)
            with _writing_to(job.store.url):
                manifest = self._objects.publish(folder, key, self._meta(content, checkpoint_id))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        saved = CheckpointSaved(
            run_id=job.run_id,
            checkpoint_id=checkpoint_id,
            epoch=job.epoch,
            step=step,
            uri=key,
            manifest_sha256=manifest.sha256,
            num_bytes=manifest.num_bytes,
            blocked_s=blocked_s,
        )
        committed = StepsCommitted(
            run_id=job.run_id,
            epoch=job.epoch,
            first_step=content.ledger[0].step if content.ledger else step,
            last_step=step - 1,
            num_samples=sum(len(row.samples) for row in content.ledger),
            sha256=manifest.files[LEDGER][0],
            uri=f"{key}/{LEDGER}",
            checkpoint_id=checkpoint_id,
        )
        return CheckpointWritten(saved=saved, committed=committed)

    def _id(self, step: int) -> str:
        return f"{self._job.run_id}-{self._job.epoch}-{step}"

    def _meta(self, content: CheckpointContent, checkpoint_id: str) -> dict[str, JsonValue]:
        state, job = content.state, self._job
        return {
            "run_id": job.run_id,
            "epoch": job.epoch,
            "step": state.step,
            "checkpoint_id": checkpoint_id,
            "parent_id": self.parent_id,
            "dataset_version": job.dataset_version,
            "recipe_sha256": job.recipe.sha256(),
            "loss": state.recent_losses[-1] if state.recent_losses else None,
            "tokens": state.tokens,
        }


@contextmanager
def _writing_to(place: str) -> Iterator[None]:
    """Make an error say in one line what happened and where. Copying a folder gives a list of what failed."""
    try:
        yield
    except OSError as error:
        nested = isinstance(error, shutil.Error) and isinstance(error.args[0], list)
        text = str(error.args[0][0][-1]) if nested else error.strerror or str(error)
        what = " ".join(text.partition(": '")[0].rpartition("] ")[2].split())
        raise OSError(f"{what}, while writing to {place}") from error
