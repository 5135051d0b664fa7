"""What a run's timeline says about a fault: who held what, who took over, what is there twice. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from ropewalk.bus.codec import Stored
from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.drills.scorecard import Observed, check
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.drill import DrillProbed
from ropewalk.events.run import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageInterrupted,
    StageStarted,
)
from ropewalk.events.training import (
    StepSkipped,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
)

M = TypeVar("M", bound=Message)
Timeline = Sequence[Stored[Message]]
ENDINGS = (RunCompleted, RunFailed, RunCancelled, RunRejected)
# Said again, word for word, by every attempt that takes a step again: news of an attempt, not effects.
_NEWS = (StageInterrupted, StepSkipped, TrainingInterrupted, TrainingProgressed, TrainingResumed, TrainingStarted)
_ENDS = (StageCompleted, *ENDINGS)  # counted by what they end
_WATCHING = frozenset({"monitoring", "drill"})  # families that may repeat a value because it did not change


@dataclass(frozen=True, kw_only=True)
class HeldStage:
    """A stage that a service works on."""

    run_id: str
    stage: str
    epoch: int
    service: str
    sequence: int


def held_stages(timeline: Timeline) -> list[HeldStage]:
    """Stages begun and not ended, the newest last. Stages without a lease (epoch 0) belong to no service."""
    held: dict[tuple[str, str], HeldStage] = {}
    for stored in timeline:
        match stored.message:
            case StageStarted(run_id=run, stage=stage, epoch=epoch) if epoch:
                service = stored.envelope.source.removeprefix("/svc/")
                # Taken out first, so that a stage that was taken again is the newest.
                held.pop((run, stage), None)
                held[run, stage] = HeldStage(
                    run_id=run, stage=stage, epoch=epoch, service=service, sequence=stored.sequence
                )
            case StageCompleted(run_id=run, stage=stage):
                held.pop((run, stage), None)
            case message if isinstance(message, ENDINGS):
                held = {key: value for key, value in held.items() if key[0] != message.run_id}
    return list(held.values())


def taken_over(timeline: Timeline, held: HeldStage) -> Stored[Message] | None:
    """The first time that somebody took the stage with a higher epoch."""
    return next((stored for stored in timeline if _starts_later(stored.message, held)), None)


def stage_ended(timeline: Timeline, held: HeldStage) -> Stored[Message] | None:
    """The end of the stage, or of its run, after it was held."""
    later = (stored for stored in timeline if stored.sequence > held.sequence)
    return next(
        (stored for stored in later if _ends(stored.message, held) or isinstance(stored.message, ENDINGS)), None
    )


def first_sign(timeline: Timeline, held: HeldStage) -> Stored[Message] | None:
    """The first event that says that the holder was lost."""
    later = (stored for stored in timeline if stored.sequence > held.sequence)
    return next((stored for stored in later if _is_lost(stored.message, held)), None)


def zombie_endings(timeline: Timeline, held: HeldStage) -> tuple[str, ...]:
    """Endings that the old holder committed after another took over: fencing allows none."""
    taken = taken_over(timeline, held)
    if taken is None:
        return ()
    return tuple(
        f"{type(stored.message).__name__} of {held.stage} at {stored.sequence} by epoch {held.epoch}"
        for stored in timeline
        if stored.sequence > taken.sequence and _ends(stored.message, held) and stored.message.epoch <= held.epoch
    )


def doubled_effects(timeline: Timeline, after: int = 0) -> tuple[str, ...]:
    """Everything that became true twice, where the second time lies after sequence `after`; a sentence each."""
    return (*_same_id(timeline, after), *_same_words(timeline, after), *_ended_twice(timeline, after))


def missing_probes(acknowledged: Iterable[int], found: Iterable[int]) -> tuple[int, ...]:
    """Numbers that were acknowledged and are not in the log."""
    return tuple(sorted(set(acknowledged) - set(found)))


def doubled_probes(timeline: Iterable[Stored[Message]]) -> tuple[str, ...]:
    """Probes that are in the log more than once."""
    counts = Counter(stored.message.number for stored in timeline if isinstance(stored.message, DrillProbed))
    return tuple(f"probe {number} is there {count} times" for number, count in sorted(counts.items()) if count > 1)


def first_after(timeline: Timeline, fault: Stored[Message], kind: type[M]) -> tuple[float | None, M | None]:
    """The first message of a kind behind the event `fault`, and its seconds since that by the server's clock."""
    for stored in timeline:
        if stored.sequence > fault.sequence and isinstance(stored.message, kind):
            return (stored.time - fault.time).total_seconds(), stored.message
    return None, None


def score_worker(timeline: Timeline, fault: Stored[Message], ledger: LedgerVerdict | None) -> Observed:
    """The scorecard of a killed worker. `ledger` is None while the run has not taken all its steps."""
    detect_s, lost_at = first_after(timeline, fault, TrainingInterrupted)
    recover_s, back_at = first_after(timeline, fault, TrainingResumed)
    again = max(0, lost_at.last_step - back_at.resume_step) if lost_at and back_at else 0
    step = back_at.resume_step if back_at else -1
    resumed = check("resumed", back_at is not None, f"at step {step}, {again} steps taken again")
    if ledger is None:
        proof = check("ledger", True, "training has not ended yet: run `ropewalk ledger verify` when it has")
        lost = 0
    else:
        lost = ledger.num_missing_steps
        told = (
            "; ".join(ledger.sentences[:3]) or f"{ledger.num_steps:,} steps, {ledger.num_samples:,} samples as planned"
        )
        proof = check("ledger", ledger.ok, told)
    return Observed(
        detect_s=detect_s,
        recover_s=recover_s,
        lost=lost,
        lost_unit="steps",
        doubled=doubled_effects(timeline, fault.sequence),
        checks=(resumed, proof),
    )


def _ends(message: Message, held: HeldStage) -> TypeGuard[StageCompleted]:
    return isinstance(message, StageCompleted) and message.stage == held.stage


def _is_lost(message: Message, held: HeldStage) -> bool:
    interrupted = isinstance(message, StageInterrupted) and message.stage == held.stage
    return interrupted or _starts_later(message, held)


def _starts_later(message: Message, held: HeldStage) -> bool:
    return isinstance(message, StageStarted) and message.stage == held.stage and message.epoch > held.epoch


def _same_id(timeline: Timeline, after: int) -> list[str]:
    counts = Counter(stored.envelope.id for stored in timeline)
    late = {stored.envelope.id: stored.message for stored in timeline if stored.sequence > after}
    return [
        f"{type(message).__name__} {identity} is there {counts[identity]} times"
        for identity, message in late.items()
        if counts[identity] > 1
    ]


def _same_words(timeline: Timeline, after: int) -> list[str]:
    """The same fact under two ids: somebody did the work twice and did not notice."""

    def words(message: Message) -> tuple[str, str] | None:
        # Requests may be repeated, that is their nature; only a fact must not become true twice.
        if message.plane != "evt" or message.family in _WATCHING or isinstance(message, (*_NEWS, *_ENDS)):
            return None
        return message.type_name(), message.model_dump_json()

    found = _under_several_ids(timeline, after, words)
    return [f"{kind} was said {count} times: {body[:120]}" for (kind, body), count in found]


def _ended_twice(timeline: Timeline, after: int) -> list[str]:
    """A stage or a run with two ends, whatever they say. The same end stored twice is counted by its id."""

    def end(message: Message) -> tuple[str, str] | None:
        if isinstance(message, StageCompleted):
            return message.run_id, f"stage {message.stage}"
        return (message.run_id, "the run") if isinstance(message, ENDINGS) else None

    return [f"{name} of {run} ended {num} times" for (run, name), num in _under_several_ids(timeline, after, end)]


def _under_several_ids(
    timeline: Timeline, after: int, key: Callable[[Message], tuple[str, str] | None]
) -> list[tuple[tuple[str, str], int]]:
    """Keys of messages that lie behind sequence `after`, and have several ids in the whole timeline, with how many."""
    ids: dict[tuple[str, str], set[str]] = {}
    late: set[tuple[str, str]] = set()
    for stored in timeline:
        if (what := key(stored.message)) is not None:
            ids.setdefault(what, set()).add(stored.envelope.id)
            if stored.sequence > after:
                late.add(what)
    return [(what, len(ids[what])) for what in late if len(ids[what]) > 1]


def worker_to_kill(timeline: Timeline) -> int | None:
    """The last worker of the present group, once the run has a checkpoint and this group has taken a step."""
    pids: tuple[int, ...] = ()
    has_checkpoint = has_stepped = False
    for stored in timeline:
        match stored.message:
            case TrainingStarted(worker_pids=workers):
                pids, has_stepped = workers, False
            case TrainingInterrupted():
                pids = ()
            case CheckpointSaved():
                has_checkpoint = True
            case TrainingProgressed():
                has_stepped = True
    return pids[-1] if pids and has_checkpoint and has_stepped else None


def reactions(before: Timeline, after: Timeline, ours: Set[int]) -> tuple[str, ...]:
    """What duplicates caused, a sentence each: messages said again, or said because of one, and states written.

    `after` is everything behind the mark, `ours` the sequences of the duplicates themselves.
    """
    known = {stored.envelope.id for stored in before}
    found = []
    for stored in after:
        message, envelope = stored.message, stored.envelope
        if stored.sequence in ours or message.family == "drill":
            continue
        if envelope.id in known:
            found.append(f"{type(message).__name__} was said again at {stored.sequence}")
        elif message.plane == "state" or envelope.cause_id in known:
            found.append(f"{type(message).__name__} at {stored.sequence} follows from a duplicate")
    return tuple(found)
