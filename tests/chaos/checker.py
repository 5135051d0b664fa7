"""Judges a history. Every rule is a pure function from the stored messages to violations.

It trusts no code of the runtime: what must hold is said again here, in terms of the log alone (and of the log of
outside effects, for what happens outside it).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chaos.behaviour import ENDINGS, NUM_EFFECTS, NUM_FACTS, STAGES, behaviour_of, effect_key
from chaos.history import Entry, History
from chaos.model import FINAL, faults_of_step

from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, DatasetPublished, SegmentIngested
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import (
    PoolState,
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunEnding,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageInterrupted,
    StageStarted,
    StageState,
    SubmitRun,
)
from ropewalk.events.training import TrainingCompleted

_ENDING_NAME: dict[type[Message], str] = {
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
    RunRejected: "rejected",
}
_ONCE_PER_RUN = (RunAccepted, CorpusIngested, DatasetPublished, TrainingCompleted, GateDecided)
_MAX_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One thing that must not be, and the messages that show it."""

    rule: str
    subject: str  # a run id, a stage of a run, a pool
    text: str
    entries: tuple[Entry, ...] = ()

    def __str__(self) -> str:
        shown = "\n".join(f"    {entry}" for entry in self.entries[-_MAX_SHOWN:])
        return f"{self.rule}: {self.subject}: {self.text}" + (f"\n{shown}" if shown else "")


def check(history: History) -> list[Violation]:
    """Everything that is wrong with a history, rule by rule."""
    return [violation for rule in RULES for violation in rule(history)]


def submissions_are_stored(history: History) -> Iterator[Violation]:
    """What the client saw acknowledged is in the log."""
    stored = {message.run_id for _, message in history.organic(SubmitRun)}
    for run_id in history.submitted:
        if run_id not in stored:
            yield _violation(history, "lost", run_id, "its acknowledged submission is not in the log")


def runs_end_once(history: History) -> Iterator[Violation]:
    """Every submitted run has exactly one terminal event, of a kind that its behaviour allows."""
    endings: dict[str, list[str]] = defaultdict(list)
    for _, message in history.organic():
        if type(message) in _ENDING_NAME:
            endings[message.run_id].append(_ENDING_NAME[type(message)])
    submitted = {message.run_id for _, message in history.organic(SubmitRun)}
    for run_id in sorted(submitted | endings.keys()):
        match endings[run_id]:
            case []:
                yield _violation(history, "lost", run_id, "it never ended")
            case [kind]:
                allowed = ENDINGS[behaviour_of(run_id)]
                if kind not in allowed:
                    yield _violation(history, "wrong ending", run_id, f"it is {kind}, but may only be {allowed}")
            case several:
                yield _violation(history, "several endings", run_id, f"it ended as {', '.join(several)}")


def endings_are_guarded(history: History) -> Iterator[Violation]:
    """The guard of a run's ending is written once, and names the terminal event."""
    terminal = {entry.id: message.run_id for entry, message in history.organic() if type(message) in _ENDING_NAME}
    guards = Counter(message.run_id for _, message in history.organic(RunEnding))
    for run_id, number in guards.items():
        if number > 1:
            yield _violation(history, "several endings", run_id, f"its ending was guarded {number} times")
    for _, message in history.organic(RunEnding):
        if terminal.get(message.event_id) != message.run_id:
            yield _violation(history, "wrong guard", message.run_id, "its guard names no terminal event of this run")
    for run_id in set(terminal.values()) - guards.keys():
        yield _violation(history, "wrong guard", run_id, "it ended without the guard")


def ids_are_stored_once(history: History) -> Iterator[Violation]:
    """No event is in the log twice, however often it was sent."""
    numbers = Counter(entry.id for entry, _ in history.organic() if entry.id)
    for event_id, number in numbers.items():
        if number > 1:
            entries = tuple(entry for entry, _ in history.organic() if entry.id == event_id)
            text = f"event {event_id} is stored {number} times"
            yield Violation(rule="doubled event", subject=entries[0].run_id, text=text, entries=entries)


def facts_are_stated_once(history: History) -> Iterator[Violation]:
    """A derived fact has one event, even under other ids: two causes must not lead to the same fact."""
    facts: Counter[tuple[str, str, object]] = Counter()
    for _, message in history.organic():
        match message:
            case SegmentIngested():
                facts[(message.run_id, "segment_ingested", message.segment.segment_id)] += 1
            case StageCompleted():
                facts[(message.run_id, "stage_completed", message.stage)] += 1
            case StageStarted():
                facts[(message.run_id, "stage_started", (message.stage, message.epoch, message.attempt))] += 1
            case _ if isinstance(message, _ONCE_PER_RUN):
                facts[(message.run_id, message.name, "")] += 1
    for (run_id, name, key), number in facts.items():
        if number > 1:
            yield _violation(history, "doubled fact", run_id, f"{name} {key} was stated {number} times")


def causes_exist(history: History) -> Iterator[Violation]:
    """Whatever follows from something follows from something that is in the log, and that came before."""
    known: set[str] = set()
    for entry in history.control:
        is_fact = not entry.injected and entry.subject.startswith("evt.")
        if is_fact and entry.cause_id and entry.cause_id not in known:
            text = f"{entry.subject} follows from {entry.cause_id}, which is not in the log before it"
            yield Violation(rule="no cause", subject=entry.run_id, text=text, entries=(entry,))
        known.add(entry.id)


def stages_follow_the_model(history: History) -> Iterator[Violation]:
    """Every sequence of snapshots is one that the model allows, and ends."""
    for (stage, run_id), states in _states(history).items():
        before: StageState | None = None
        for _, state in states:
            for text in faults_of_step(before, state):
                yield _violation(history, "illegal sequence", f"{stage} of {run_id}", text, run_id)
            before = state
        if before is not None and before.status not in FINAL:
            yield _violation(history, "lost", f"{stage} of {run_id}", f"it is still {before.status}", run_id)


def epochs_never_go_back(history: History) -> Iterator[Violation]:
    """Of one stage of one run, no message of a lower epoch is committed after one of a higher."""
    highest: dict[tuple[str, str], int] = defaultdict(int)
    for entry, message in history.organic():
        if not isinstance(message, StageStarted | StageCompleted | StageInterrupted | StageState):
            continue
        key = (message.stage, message.run_id)
        if message.epoch < highest[key]:
            text = f"{entry.subject} of epoch {message.epoch} came after epoch {highest[key]}"
            yield _violation(history, "lower epoch", f"{message.stage} of {message.run_id}", text, message.run_id)
        highest[key] = max(highest[key], message.epoch)


def epochs_begin_once(history: History) -> Iterator[Violation]:
    """One lease revision, one holder: the same epoch never carries two runs or stages."""
    owners: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for _, message in history.organic(StageStarted):
        owners[message.epoch].add((message.stage, message.run_id))
    for epoch, found in owners.items():
        if len(found) > 1:
            yield Violation(rule="shared epoch", subject=f"epoch {epoch}", text=f"it belongs to {sorted(found)}")


def ends_agree_with_states(history: History) -> Iterator[Violation]:
    """State and event are one commit: a stage that is done has one StageCompleted, any other has none."""
    completed = Counter((message.stage, message.run_id) for _, message in history.organic(StageCompleted))
    done = Counter(
        (message.stage, message.run_id) for _, message in history.organic(StageState) if message.status == "done"
    )
    for stage, run_id in completed.keys() | done.keys():
        if completed[stage, run_id] != done[stage, run_id]:
            text = f"{done[stage, run_id]} snapshots say done, {completed[stage, run_id]} events say completed"
            yield _violation(history, "torn commit", f"{stage} of {run_id}", text, run_id)


def completed_runs_are_whole(history: History) -> Iterator[Violation]:
    """A completed run did every stage, each with all its facts."""
    done = {(message.stage, message.run_id) for _, message in history.organic(StageCompleted)}
    facts = Counter(message.run_id for _, message in history.organic(SegmentIngested))
    for _, message in history.organic(RunCompleted):
        missing = [stage for stage in STAGES if (stage, message.run_id) not in done]
        if missing:
            yield _violation(history, "lost", message.run_id, f"it completed without {', '.join(missing)}")
        if facts[message.run_id] != NUM_FACTS * len(STAGES):
            yield _violation(history, "lost", message.run_id, f"it has {facts[message.run_id]} facts of its stages")


def effects_happen_once(history: History) -> Iterator[Violation]:
    """No outside effect twice; of a stage that is done, each exactly once."""
    numbers = Counter(effect.key for effect in history.effects)
    for key, number in numbers.items():
        if number > 1:
            run_id = key.split("/")[1]
            yield _violation(history, "doubled effect", key, f"it happened {number} times", run_id)
    for _, message in history.organic(StageCompleted):
        for index in range(NUM_EFFECTS):
            key = effect_key(message.stage, message.run_id, index)
            if not numbers[key]:
                text = "its stage is done, but it never happened"
                yield _violation(history, "lost effect", key, text, message.run_id)


def only_poison_is_dead(history: History) -> Iterator[Violation]:
    """Dead letters are the poison, each once per consumer, and all of it."""
    poison = {str(entry.sequence): entry for entry in history.control if entry.injected == "poison"}
    dead: Counter[tuple[str, str]] = Counter()
    for letter in history.letters:
        sequence = letter.headers.get("ropewalk-sequence", "")
        dead[(sequence, letter.headers.get("ropewalk-consumer", ""))] += 1
        if sequence not in poison:
            text = f"a sound message is a dead letter: {letter.headers.get('ropewalk-error', '')}"
            run_id = letter.headers.get("ropewalk-subject", "").rpartition(".")[2]
            yield _violation(history, "dead letter", run_id, text)
    for (sequence, consumer), number in dead.items():
        if number > 1:
            text = f"message {sequence} is a dead letter {number} times"
            yield Violation(rule="doubled letter", subject=consumer, text=text)
    for sequence in poison.keys() - {sequence for sequence, _ in dead}:
        text = f"poison {sequence} was dropped without a dead letter"
        yield Violation(rule="lost letter", subject=poison[sequence].subject, text=text, entries=(poison[sequence],))


def capacity_is_never_exceeded(history: History) -> Iterator[Violation]:
    """At every sequence the running stages of a pool fit into it."""
    running: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    over: set[str] = set()
    for entry, state in history.organic(StageState):
        if not state.pool:
            continue
        used = running[state.pool]
        used.pop((state.stage, state.run_id), None)
        if state.status == "running":
            used[state.stage, state.run_id] = state.cpus
        limit = history.capacities.get(state.pool, float("inf"))
        if sum(used.values()) > limit + 1e-9 and state.pool not in over:
            over.add(state.pool)
            text = f"at {entry.sequence} its stages use {sum(used.values()):g} of {limit:g} CPUs: {sorted(used)}"
            yield Violation(rule="oversubscribed", subject=f"pool {state.pool}", text=text, entries=(entry,))


def pools_agree_with_stages(history: History) -> Iterator[Violation]:
    """In the end no pool holds a place for a stage that is over."""
    last = {message.run_id: message for _, message in history.organic(PoolState)}
    status = {key: states[-1][1].status for key, states in _states(history).items()}
    for pool, state in last.items():
        for place in state.entries:
            now = status.get((place.stage, place.run_id), "unknown")
            if now in FINAL or now == "unknown":
                text = f"it keeps a place for {place.stage} of {place.run_id}, which is {now}"
                yield _violation(history, "leaked place", f"pool {pool}", text, place.run_id)


def audit_has_everything(history: History) -> Iterator[Violation]:
    """The mirror that everything is rebuilt from is complete."""
    last = history.control[-1].sequence if history.control else 0
    if history.mirrored is not None and history.mirrored < last:
        yield Violation(rule="behind", subject="AUDIT", text=f"it ends at {history.mirrored}, CONTROL at {last}")


RULES: tuple[Callable[[History], Iterator[Violation]], ...] = (
    submissions_are_stored,
    runs_end_once,
    endings_are_guarded,
    ids_are_stored_once,
    facts_are_stated_once,
    causes_exist,
    stages_follow_the_model,
    epochs_never_go_back,
    epochs_begin_once,
    ends_agree_with_states,
    completed_runs_are_whole,
    effects_happen_once,
    only_poison_is_dead,
    capacity_is_never_exceeded,
    pools_agree_with_stages,
    audit_has_everything,
)


def _states(history: History) -> dict[tuple[str, str], list[tuple[Entry, StageState]]]:
    states: dict[tuple[str, str], list[tuple[Entry, StageState]]] = defaultdict(list)
    for entry, message in history.organic(StageState):
        states[message.stage, message.run_id].append((entry, message))
    return states


def _violation(history: History, rule: str, subject: str, text: str, run_id: str = "") -> Violation:
    """A violation with the shortest history that shows it: that of its run."""
    about = run_id or subject
    entries = tuple(entry for entry in history.control if entry.run_id == about)
    return Violation(rule=rule, subject=subject, text=text, entries=entries)
