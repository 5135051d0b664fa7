"""What is worth telling the log while a run trains: from observations to events. Plain values in, plain values out.

Every event comes with a natural key, so that telling the same thing twice gives the same message id.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointPruned, CheckpointQuarantined, CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.foreign import one_line
from ropewalk.events.training import (
    SamplesLeftOut,
    StepMetrics,
    StepMetricsBatch,
    StepsCommitted,
    StepSkipped,
    StragglerFound,
    TimeAccount,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingRolledBack,
    TrainingStarted,
    TrainingValidated,
)
from ropewalk.recipes.recipe import Recipe
from ropewalk.trainer.domain.caps import seconds_spent
from ropewalk.trainer.domain.goodput import Goodput, Yardstick, per_group
from ropewalk.trainer.domain.recovery import Loss
from ropewalk.trainer.domain.straggler import Straggler

Told = tuple[Message, str]
_PROGRESS_EVERY_S = 2.0
_PACK = 200  # rows in one message
_MAX_DETAIL = 500  # characters of what a library said when it ended


@dataclass(frozen=True, kw_only=True)
class Past:
    """What earlier holders of the stage have told. Times are Unix seconds."""

    saved: frozenset[tuple[str, str]] = frozenset()  # checkpoint id and manifest hash
    gone: frozenset[str] = frozenset()  # ids of checkpoints that were quarantined or pruned
    committed: frozenset[tuple[str, str]] = frozenset()  # checkpoint id and ledger hash
    last_attempt: int = 0
    last_epoch: int = 0
    last_step: int = -1
    first_sign: float = 0.0  # 0: nobody trained before
    last_sign: float = 0.0
    spent_s: float = 0.0  # by groups of workers; see `caps`
    newest: str = ""  # checkpoint that stands
    saved_at: float = 0.0  # from here on work is lost if the group is
    interrupted: bool = False  # the last attempt's end was told, too
    paused: bool = False  # which is how it ended
    account: TimeAccount = field(default_factory=TimeAccount)  # the last that was told, and when
    account_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class GroupFacts:
    """What a group of workers says of itself."""

    num_parameters: int
    device: str
    yardstick: Yardstick = field(default_factory=Yardstick)


@dataclass(kw_only=True)
class _Group:
    attempt: int
    resume_step: int = 0
    checkpoint_id: str = ""
    resumption_told: bool = False


@dataclass(kw_only=True)
class Story:
    """Tells one holder's part of a run. Methods return (event, key) pairs in the order to publish."""

    run_id: str
    epoch: int
    recipe: Recipe
    past: Past
    goodput: Goodput
    _lost_at: float = 0.0
    _progress_at: float = 0.0
    _num_failed_saves: int = 0
    _num_rollbacks: int = 0  # in the keys, since steps taken again are told again
    _group: _Group = field(default_factory=lambda: _Group(attempt=0))
    _saved: set[str] = field(default_factory=set)
    _committed: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lost_at = self.past.last_sign
        self._saved |= {manifest_sha256 for _, manifest_sha256 in self.past.saved}
        self._committed |= self.past.committed

    def opening(self) -> list[Told]:
        """At the start: if an earlier holder vanished without a word, say so for it."""
        past = self.past
        if not past.last_sign or past.interrupted:
            return []
        interrupted = TrainingInterrupted(
            run_id=self.run_id,
            epoch=past.last_epoch,
            attempt=past.last_attempt,
            cause="service_lost",
            last_step=past.last_step,
            detail="the process that led the workers ended without a word",
            seconds_lost=max(0.0, past.last_sign - past.saved_at),
            checkpoint_id=past.newest,
        )
        return [(interrupted, f"{past.last_epoch}-{past.last_attempt}")]

    def group_started(
        self,
        attempt: int,
        pids: Sequence[int],
        resume_step: int,
        checkpoint_id: str,
        about: GroupFacts,
    ) -> list[Told]:
        """All workers are ready to take `resume_step`."""
        one = about.yardstick
        self.goodput.group_started(per_group(one, len(pids)))
        self._group = _Group(attempt=attempt, resume_step=resume_step, checkpoint_id=checkpoint_id)
        started = TrainingStarted(
            run_id=self.run_id,
            epoch=self.epoch,
            attempt=attempt,
            strategy=self.recipe.chosen_strategy,
            num_workers=len(pids),
            worker_pids=tuple(pids),
            total_steps=self.recipe.derived.total_steps,
            resume_step=resume_step,
            num_parameters=about.num_parameters,
            device=about.device,
            flops_per_token=one.flops_per_token,
            peak_flops=one.peak_flops,
            gemm_flops=one.gemm_flops,
        )
        return [(started, f"{self.epoch}-{attempt}")]

    def steps_taken(self, rows: tuple[StepMetrics, ...]) -> list[Told]:
        """Metrics of new steps arrived; the first ones after a loss also tell what it cost."""
        if not rows:
            return []
        self.goodput.stepped(rows)
        key = f"{self.epoch}-{rows[0].attempt}-{rows[0].step}{self._again}"
        told: list[Told] = [(StepMetricsBatch(run_id=self.run_id, rows=rows), key)]
        if self._lost_at and not self._group.resumption_told:
            told.append((self._resumed(rows[0]), f"{self.epoch}-{self._group.attempt}"))
        self._group.resumption_told = True
        last = rows[-1]
        if last.time_unix - self._progress_at >= _PROGRESS_EVERY_S:
            self._progress_at = last.time_unix
            told.append((self._progress(rows), f"{self.epoch}-{last.attempt}-{last.step}{self._again}"))
        return told

    def happened(
        self, attempt: int, event: TrainingValidated | StepSkipped | SamplesLeftOut | TrainingRolledBack
    ) -> list[Told]:
        """What the workers themselves say of a step."""
        self._num_rollbacks += isinstance(event, TrainingRolledBack)
        return [(event, f"{self.epoch}-{attempt}-{event.step}{self._again}")]

    def checkpoint_saved(
        self, saved: CheckpointSaved, committed: StepsCommitted | None, rows: tuple[StepMetrics, ...] = ()
    ) -> list[Told]:
        """A whole checkpoint lies in the store. What was told before is not told again.

        Where it was announced before, so were its `rows`: a worker sends those first.
        """
        told: list[Told] = []
        if saved.manifest_sha256 not in self._saved:
            self._saved.add(saved.manifest_sha256)
            self.goodput.stepped(rows)
            packs = [rows[first : first + _PACK] for first in range(0, len(rows), _PACK)]
            told += [
                (StepMetricsBatch(run_id=self.run_id, rows=pack), f"{saved.manifest_sha256}-{pack[0].step}")
                for pack in packs
            ]
            told.append((saved, saved.manifest_sha256))
        if committed is None:
            return told
        identity = (committed.checkpoint_id, committed.sha256)
        if identity not in self._committed:
            self._committed.add(identity)
            told.append((committed, "/".join(identity)))
        return told

    def save_failed(self, attempt: int, failed: CheckpointSaveFailed) -> list[Told]:
        """A checkpoint could not be written. The same step may fail again and again; each time is told."""
        self._num_failed_saves += 1
        return [(failed, f"{self.epoch}-{attempt}-{self._num_failed_saves}")]

    def checkpoint_broken(self, quarantined: CheckpointQuarantined) -> list[Told]:
        """A checkpoint did not verify when it was to be resumed from."""
        return [(quarantined, f"{quarantined.checkpoint_id}/{self.epoch}-{self._group.attempt}")]

    def group_lost(self, loss: Loss) -> list[Told]:
        """A worker group ended before the last step."""
        self._lost_at = self._lost_at if self._lost_at and not self._group.resumption_told else loss.time_unix
        interrupted = TrainingInterrupted(
            run_id=self.run_id,
            epoch=self.epoch,
            attempt=loss.attempt,
            cause=loss.cause,
            last_step=loss.last_step,
            detail=one_line(loss.detail, _MAX_DETAIL),
            **asdict(loss.found),
        )
        return [(interrupted, f"{self.epoch}-{loss.attempt}")]

    def paused(self, step: int) -> list[Told]:
        """The group saved after a step and left, since the run was paused."""
        attempt = self._group.attempt
        fields = {"run_id": self.run_id, "epoch": self.epoch, "attempt": attempt, "last_step": step - 1}
        left = TrainingInterrupted.model_validate({**fields, "cause": "paused", "detail": "saved and left"})
        return [(left, f"{self.epoch}-{attempt}")]

    def straggler_found(self, attempt: int, slow: Straggler) -> list[Told]:
        """A rank is slower than the others."""
        found = StragglerFound(run_id=self.run_id, epoch=self.epoch, attempt=attempt, **asdict(slow))
        return [(found, f"{self.epoch}-{attempt}-{slow.step}")]

    @property
    def _again(self) -> str:
        return f"/{self._num_rollbacks}" if self._num_rollbacks else ""

    def _resumed(self, first: StepMetrics) -> TrainingResumed:
        return TrainingResumed(
            run_id=self.run_id,
            epoch=self.epoch,
            attempt=self._group.attempt,
            resume_step=self._group.resume_step,
            checkpoint_id=self._group.checkpoint_id,
            seconds_lost=max(0.0, first.time_unix - self._lost_at),
        )

    def _progress(self, rows: tuple[StepMetrics, ...]) -> TrainingProgressed:
        last, total_steps = rows[-1], self.recipe.derived.total_steps
        seconds = sum(row.step_s + row.checkpoint_s for row in rows)
        return TrainingProgressed(
            run_id=self.run_id,
            epoch=self.epoch,
            step=last.step,
            total_steps=total_steps,
            loss=fmean(row.loss for row in rows),
            tokens=(last.step + 1) * last.tokens,
            tokens_per_s=sum(row.tokens for row in rows) / max(seconds, 1e-9),
            seconds_left=(total_steps - last.step - 1) * seconds / len(rows),
            account=self.goodput.account(),
        )


def past_of(events: Sequence[tuple[Message, float]]) -> Past:
    """The past of a run from its training events with the time (Unix seconds) each was stored at, oldest first."""
    saved, committed, gone, standing = set(), set(), set(), dict[str, float]()
    attempt, epoch, step, first_sign, sign, interrupted, paused = 0, 0, -1, 0.0, 0.0, False, False
    account, account_at, group_at = TimeAccount(), 0.0, 0.0
    for event, stored_at in events:
        match event:
            case CheckpointSaved():
                saved.add((event.checkpoint_id, event.manifest_sha256))
                gone.discard(event.checkpoint_id)
                standing[event.checkpoint_id] = stored_at
                step, sign = max(step, event.step - 1), sign and stored_at  # without a group it is nobody's sign
            case CheckpointQuarantined() | CheckpointPruned():
                gone.add(event.checkpoint_id)
                standing.pop(event.checkpoint_id, None)
            case StepsCommitted():
                committed.add((event.checkpoint_id, event.sha256))
            case TrainingStarted():
                attempt, epoch, interrupted, paused = max(attempt, event.attempt), event.epoch, False, False
                step, sign = event.resume_step - 1, stored_at
                first_sign, group_at = first_sign or stored_at, stored_at
            case TrainingProgressed():
                step, sign = event.step, stored_at
                account, account_at = event.account, stored_at
            case TrainingInterrupted():
                attempt, interrupted, paused = max(attempt, event.attempt), True, event.cause == "paused"
    return Past(
        saved=frozenset(saved),
        gone=frozenset(gone),
        committed=frozenset(committed),
        last_attempt=attempt,
        last_epoch=epoch,
        last_step=step,
        first_sign=first_sign,
        last_sign=sign,
        spent_s=seconds_spent(events),
        newest=next(reversed(standing), ""),
        saved_at=max((group_at, *standing.values())),
        interrupted=interrupted,
        paused=paused,
        account=account,
        account_at=account_at,
    )
