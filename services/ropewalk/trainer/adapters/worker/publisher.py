"""Checkpoints go to the object store from a thread, so that training only waits for the copy in memory.

At most one is in flight. A failure to write is a value, not an exception: training goes on and tries again. Weights
that are broken are an exception: nothing that follows from them is worth a step.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean

from pydantic import JsonValue

from ropewalk.events.checkpoint import CheckpointSaveFailed
from ropewalk.events.foreign import cut
from ropewalk.storage.manifest import read_manifest
from ropewalk.storage.objects import ObjectNotFoundError
from ropewalk.trainer.adapters.fence import check_epoch
from ropewalk.trainer.adapters.worker.checkpoint import CheckpointContent, check_whole, write_checkpoint
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, WorkerJob
from ropewalk.trainer.adapters.worker.written import written

SaveOutcome = CheckpointWritten | CheckpointSaveFailed


class CheckpointPublisher:
    """Writes, seals and publishes the checkpoints of one job. Used by rank 0."""

    def __init__(self, job: WorkerJob, parent_id: str, newest_key: str) -> None:
        self._job = job
        self._objects = job.store.connect()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._flight: Future[SaveOutcome] | None = None
        self.parent_id, self.newest_key = parent_id, newest_key  # of the last checkpoint that was written
        self.parent_sha256 = read_manifest(job.resume_from).sha256 if job.resume_from is not None else ""
        self.cpu_s = 0.0  # that the last one took

    def start(self, content: CheckpointContent, blocked_s: float) -> None:
        """Begin to write. Training stood still for `blocked_s` for it; the flight before must be over."""
        assert self._flight is None, "one checkpoint at a time"
        self._flight = self._thread.submit(self._write, content, blocked_s)

    @property
    def is_flying(self) -> bool:
        """Whether a checkpoint is in flight, or landed and nobody asked how."""
        return self._flight is not None

    def landed(self, *, wait: bool) -> SaveOutcome | None:
        """How the checkpoint in flight ended; None if there is none or, without `wait`, it is still flying.

        Raises BrokenStateError.
        """
        if self._flight is None or not (wait or self._flight.done()):
            return None
        flight, self._flight = self._flight, None
        outcome = flight.result()
        if isinstance(outcome, CheckpointWritten):
            self.parent_id, self.parent_sha256 = outcome.saved.checkpoint_id, outcome.saved.manifest_sha256
            self.newest_key = outcome.saved.uri
        return outcome

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown(wait=True)

    def _write(self, content: CheckpointContent, blocked_s: float) -> SaveOutcome:
        began = time.thread_time()
        try:
            return self._publish(content, blocked_s)
        except OSError as error:
            place = self._job.place(content.state.step)
            return CheckpointSaveFailed(
                run_id=place.run_id,
                checkpoint_id=place.checkpoint_id,
                epoch=place.epoch,
                step=place.step,
                reason=cut(str(error), 1000),
            )
        finally:
            self.cpu_s = time.thread_time() - began

    def _publish(self, content: CheckpointContent, blocked_s: float) -> CheckpointWritten:
        job, place = self._job, self._job.place(content.state.step)
        content.snapshot.wait()
        check_whole(content)
        job.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=job.scratch))
        try:
            with _writing_to(str(job.scratch)):
                write_checkpoint(content, folder)
            check_epoch(self._objects, job.run_id, job.epoch)
            with _writing_to(job.store.url):
                manifest = self._objects.publish(folder, place.key, self._meta(content))
        except FileExistsError:
            # Of a group that was given up and wrote until it noticed. Whoever steps now counts, and resumed from what
            # was there then; no two writings agree, since the metrics tell times.
            with suppress(ObjectNotFoundError), _writing_to(job.store.url):
                self._objects.move(place.key, f"quarantine/checkpoints/{place.checkpoint_id}")
            return self._publish(content, blocked_s)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return written(place, manifest, content.ledger, blocked_s)

    def _meta(self, content: CheckpointContent) -> dict[str, JsonValue]:
        state, job = content.state, self._job
        return {
            "run_id": job.run_id,
            "epoch": job.epoch,
            "step": state.step,
            "checkpoint_id": job.place(state.step).checkpoint_id,
            "parent_id": self.parent_id,
            "parent_sha256": self.parent_sha256,
            "dataset_version": job.dataset_version,
            "recipe_sha256": job.recipe.sha256(),
            "loss": fmean(state.recent_losses) if state.recent_losses else None,  # as `Finished` says it
            "tokens": state.tokens,
            "held_out_loss": state.validation["loss"] if state.validation.get("step") == state.step else None,
            "next_sample": state.step * job.recipe.derived.batch_size,  # the place in the order of samples
            "ledger_steps": [content.ledger[0].step, content.ledger[-1].step] if content.ledger else [],
            "finite": True,  # every number was looked at: `check_whole`
            "environment": state.environment,  # world size, versions, strategy, device
        }


@contextmanager
def _writing_to(place: str) -> Iterator[None]:
    """Make an error say in one line what happened and where. Copying a folder gives a list of what failed."""
    try:
        yield
    except FileExistsError:
        raise  # the place is taken, which is no fault of it
    except OSError as error:
        nested = isinstance(error, shutil.Error) and isinstance(error.args[0], list)
        text = str(error.args[0][0][-1]) if nested else error.strerror or str(error)
        what = " ".join(text.partition(": '")[0].rpartition("] ")[2].split())
        raise OSError(f"{what}, while writing to {place}") from error
