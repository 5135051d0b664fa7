"""When and what a worker saves: the ledger of consumed samples, the copy of the state, the flight to the store.

A copy is held until its weights are proved: only when a later loss that they gave was accepted does it fly.
"""

import time
from collections import deque
from collections.abc import Callable

import torch.distributed as dist

from ropewalk.corpus.ledger import LedgerRow
from ropewalk.events.checkpoint import CheckpointSaveFailed
from ropewalk.events.training import StepMetrics
from ropewalk.trainer.adapters.worker.batches import StepBatch
from ropewalk.trainer.adapters.worker.checkpoint import BrokenStateError, CheckpointContent, RunState, in_order
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, WorkerError, WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.preparation import Prepared, environment
from ropewalk.trainer.adapters.worker.publisher import CheckpointPublisher, SaveOutcome
from ropewalk.trainer.domain.cadence import is_due
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace
from ropewalk.trainer.domain.guard import StepGuard
from ropewalk.trainer.domain.validation import Looks

_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 15.0


class Saving:
    """Every rank has one and calls it alike; rank 0's writes and reports."""

    def __init__(
        self,
        job: WorkerJob,
        prepared: Prepared,
        guard: StepGuard,
        recent_losses: deque[float],
        report: Callable[[WorkerReport], None],
    ) -> None:
        self._job, self._prepared, self._guard, self._recent, self._report = job, prepared, guard, recent_losses, report
        self.tokens = prepared.state.tokens
        self._skipped_steps = list(prepared.state.skipped_steps)
        self._validation = prepared.state.validation
        self._left_out = frozenset(prepared.state.left_out)
        self._mine: list[tuple[int, tuple[int, ...]]] = []  # consumed by this rank since the last gathering
        self._unsaved: list[LedgerRow] = []  # on rank 0: gathered, and in no checkpoint that was written
        self._rows: list[StepMetrics] = []  # on rank 0: of steps that are in no checkpoint that was written
        self._saved_step = prepared.state.step if prepared.checkpoint_id else -1
        self.is_holding = False  # a copy whose weights are not proved
        self._blocked_s, self._saved_at = 0.0, time.monotonic()
        self.broken = ""  # on rank 0: what was wrong with the copy that flew last
        self._newest: CheckpointContent | None = None  # on rank 0, until it is written
        self._outcome: SaveOutcome | None = None  # on rank 0, of the newest flight
        if prepared.device.is_accelerator and not job.is_trial:
            prepared.strategy.snapshot()  # makes the buffers of all later ones, which stops a GPU for seconds
        self._publisher = None
        if dist.get_rank() == 0:
            self._publisher = CheckpointPublisher(job, prepared.checkpoint_id, prepared.checkpoint_uri)

    def consumed(self, step: int, batch: StepBatch) -> None:
        """Record what this rank really read for a step."""
        self.tokens += batch.num_tokens
        self._mine.append((step, batch.samples))

    def measured(self, row: StepMetrics) -> None:
        """Keep the metrics of a step until they are in a checkpoint."""
        if self._publisher is not None:
            self._rows.append(row)

    @property
    def is_flying(self) -> bool:
        """Whether this rank writes a checkpoint beside the training."""
        return self._publisher is not None and self._publisher.is_flying

    def skipped(self, step: int) -> None:
        """Record an update that was not applied."""
        self._skipped_steps.append(step)

    def looked(self, looks: Looks) -> None:
        """Record what the held-out windows said."""
        self._validation = looks.as_json()

    def is_due(self, step: int) -> bool:
        """Whether rank 0 wants to save after that many steps."""
        if self._publisher is None or self._job.is_trial or step >= self._job.total_steps:
            return False
        on_card, every = self._prepared.device.is_accelerator, self._job.recipe.derived.checkpoint_every
        cost_s = self._blocked_s + (0.0 if on_card else self._publisher.cpu_s)
        # A card takes five steps of a small model in the time that a disk needs for one checkpoint.
        would_wait = on_card and self.is_flying
        return is_due(step, every, time.monotonic() - self._saved_at, cost_s, would_wait=would_wait)

    @property
    def newest_key(self) -> str:
        """Of the newest checkpoint, on rank 0. Waits for the flight."""
        self.report_landed(wait=True)
        return self._publisher.newest_key if self._publisher is not None else ""

    def save(self, step: int) -> None:
        """Copy the state after `step` steps and hold it. A collective; waits for the flight before."""
        started = time.monotonic()
        self.report_landed(wait=True)
        snapshot = self._prepared.strategy.snapshot()
        self._gather_ledger()
        self._saved_step, self.is_holding = step, True
        if self._publisher is not None:
            self._newest = CheckpointContent(
                snapshot=snapshot,
                state=self._state(step, snapshot.num_updates),
                ledger=tuple(self._unsaved),
                metrics=tuple(self._rows),
                config=self._prepared.model.config,
                adapters=self._prepared.adapters,
                reach=self._prepared.reach(step),
            )
        self._saved_at = time.monotonic()
        self._blocked_s = self._saved_at - started

    def proved(self) -> None:
        """The weights of the copy that is held gave a good loss: let it fly."""
        if self.is_holding and self._publisher is not None and self._newest is not None:
            self._publisher.start(self._newest, self._blocked_s)
        self.is_holding = False

    def save_last(self, step: int) -> None:
        """Hold a copy of the end. A job that resumed at this step, or saved it already, has nothing new to save."""
        if step != self._saved_step:
            self.save(step)

    def land_last(self) -> tuple[str, str]:
        """Wait, with patience for a full disk. Returns the id and the key of the checkpoint.

        A job that is stopped while the disk is full has nothing to show. Raises WorkerError if it cannot be written.
        """
        self.report_landed(wait=True)
        if self._newest is not None:
            self._insist(self._newest)
        if self._outcome is None:
            return self._prepared.checkpoint_id, self._prepared.checkpoint_uri
        if isinstance(self._outcome, CheckpointSaveFailed):
            return "", ""
        return self._outcome.saved.checkpoint_id, self._outcome.saved.uri

    def better_than_last(self, step: int, looks: Looks) -> CheckpointPlace | None:
        """The best checkpoint by held-out windows; None if that is the one of `step`, or if it was not written."""
        best = looks.best_place(self._job.run_id)
        if best is None or best.step == step or not self._job.store.connect().exists(best.key):
            return None
        return best

    def report_landed(self, *, wait: bool = False) -> None:
        """Report the checkpoint in flight if it landed; the steps of one that failed stay for the next."""
        try:
            outcome = self._publisher.landed(wait=wait) if self._publisher is not None else None
        except BrokenStateError as error:
            self.broken, self._newest = str(error), None
            return
        if outcome is None:
            return
        self._outcome = outcome
        if isinstance(outcome, CheckpointWritten):
            self._newest = None
            self._unsaved = [row for row in self._unsaved if row.step >= outcome.saved.step]
            self._rows = [row for row in self._rows if row.step >= outcome.saved.step]
        self._report(outcome)

    def close(self) -> None:
        """Let a checkpoint in flight land."""
        if self._publisher is not None:
            self._publisher.close()

    def _insist(self, content: CheckpointContent) -> None:
        """Write again, more and more seldom, until it succeeds, the job is stopped or patience ends (WorkerError)."""
        assert self._publisher is not None, "rank 0 writes"
        patience_s, stop_file = self._job.patience_s, self._job.stop_file
        deadline, delay_s = time.monotonic() + patience_s, _FIRST_DELAY_S
        while isinstance(self._outcome, CheckpointSaveFailed) and not self.broken:
            if stop_file is not None and stop_file.exists():
                return
            if time.monotonic() + delay_s > deadline:
                raise WorkerError(
                    f"the last checkpoint (step {self._outcome.step}) could not be written for {patience_s:.0f} s: "
                    f"{self._outcome.reason}"
                )
            time.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            self._publisher.start(content, 0.0)
            self.report_landed(wait=True)

    def _gather_ledger(self) -> None:
        world_size = dist.get_world_size()
        everyone: list[list[tuple[int, tuple[int, ...]]]] | None = None
        if dist.get_rank() == 0:
            everyone = [[] for _ in range(world_size)]
        dist.gather_object(self._mine, everyone)
        self._mine = []
        for rows in zip(*everyone, strict=True) if everyone is not None else ():
            step, samples = rows[0][0], in_order([samples for _, samples in rows])
            ignored = tuple(sample for sample in samples if sample in self._left_out)
            self._unsaved.append(LedgerRow(step, samples, step in self._skipped_steps, ignored))

    def _state(self, step: int, num_updates: int) -> RunState:
        return RunState(
            step=step,
            tokens=self.tokens,
            num_updates=num_updates,
            identity=self._prepared.state.identity,
            guard=self._guard.as_json(),
            recent_losses=tuple(self._recent),
            skipped_steps=tuple(self._skipped_steps),
            validation=self._validation,
            left_out=self._prepared.state.left_out,
            micro_tokens=self._prepared.state.micro_tokens,
            environment=environment(self._job, self._prepared.device),
        )
