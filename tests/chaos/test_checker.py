"""The checker on histories made by hand: a sound one passes, and each way to be unsound is found by its rule."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from chaos.behaviour import NUM_EFFECTS, NUM_FACTS, STAGES, effect_key
from chaos.checker import RULES, check
from chaos.history import INJECTED, Effect, Entry, History

from ropewalk.events.base import Message
from ropewalk.events.data import SegmentIngested, SegmentRef
from ropewalk.events.run import (
    PoolEntry,
    PoolState,
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunEnding,
    StageCompleted,
    StageStarted,
    StageState,
    StageStatus,
    SubmitRun,
)

RUN = "plain-1"


def an_entry(message: Message | None, **headers: str) -> Entry:
    """A message at no sequence yet; `with_sequences` gives it one, and an id if it has none."""
    subject = headers.pop("subject", "") or (message.subject if message else "")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Entry(sequence=0, subject=subject, headers=named, message=message)


def with_sequences(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(
        dataclasses.replace(entry, sequence=number, headers={"ce-id": f"id-{number}", **entry.headers})
        for number, entry in enumerate(entries, start=1)
    )


def a_state(stage: str, status: StageStatus, epoch: int = 10, attempt: int = 1, **fields: object) -> StageState:
    given = {
        "run_id": RUN,
        "stage": stage,
        "status": status,
        "epoch": epoch,
        "attempt": attempt,
        "operation_id": f"{stage}-{status}-{epoch}-{attempt}",
        "cause_id": f"cause-of-{stage}",
        "cause_type": "t",
        "cause_body": "{}",
    }
    return StageState.model_validate(given | fields)


def a_start(stage: str, epoch: int, attempt: int = 1) -> StageStarted:
    return StageStarted(run_id=RUN, stage=stage, epoch=epoch, attempt=attempt)


def an_end(stage: str, epoch: int) -> StageCompleted:
    return StageCompleted(run_id=RUN, stage=stage, epoch=epoch, seconds=1)


def a_stage(stage: str, epoch: int) -> list[Entry]:
    segments = [SegmentRef(segment_id=f"{stage}-{i}", uri="u", num_documents=1, num_bytes=1) for i in range(NUM_FACTS)]
    messages: list[Message] = [
        a_state(stage, "running", epoch, pool="cpu", cpus=1),
        a_start(stage, epoch),
        *(SegmentIngested(run_id=RUN, source_id="x", segment=segment) for segment in segments),
        a_state(stage, "done", epoch, pool="cpu", cpus=1),
        an_end(stage, epoch),
    ]
    return [an_entry(message) for message in messages]


def sound_entries() -> list[Entry]:
    return [
        an_entry(SubmitRun(run_id=RUN, recipe={}), ce_id="submitted"),
        an_entry(RunAccepted(run_id=RUN, recipe={}, recipe_sha256="s"), ce_causationid="submitted"),
        *(entry for number, stage in enumerate(STAGES, start=1) for entry in a_stage(stage, 10 * number)),
        an_entry(RunEnding(run_id=RUN, kind="completed", event_id="the-end")),
        an_entry(RunCompleted(run_id=RUN, outcome="rejected"), ce_id="the-end"),
    ]


def sound_effects() -> tuple[Effect, ...]:
    keys = [effect_key(stage, RUN, index) for stage in STAGES for index in range(NUM_EFFECTS)]
    return tuple(Effect(key=key, message_id="m", epoch=10) for key in keys)


def a_history(entries: Sequence[Entry], **fields: object) -> History:
    given = {"control": with_sequences(entries), "effects": sound_effects(), "submitted": (RUN,)}
    return History(**{**given, "capacities": {"cpu": 1.0}, **fields})  # type: ignore[arg-type]


def rules_broken(history: History) -> set[str]:
    return {violation.rule for violation in check(history)}


def replaced(kind: type[Message], *others: Entry, where: Callable[[Message], bool] = lambda _: True) -> list[Entry]:
    """The sound history with `others` in place of the messages of a kind."""
    result: list[Entry] = []
    for entry in sound_entries():
        hit = isinstance(entry.message, kind) and where(entry.message)
        result += others if hit else [entry]
    return result


def after_running(*others: Message, stage: str = "train") -> list[Entry]:
    """The sound history with messages put right after a stage began to run."""
    result: list[Entry] = []
    for entry in sound_entries():
        result.append(entry)
        if isinstance(entry.message, StageStarted) and entry.message.stage == stage:
            result += [an_entry(other) for other in others]
    return result


def poison(**headers: str) -> Entry:
    return an_entry(None, subject="evt.run.accepted.v1.poison-1", **{INJECTED: "poison"}, **headers)


def a_letter(sequence: int, consumer: str = "ingest__ingest") -> Entry:
    headers = {"ropewalk-sequence": str(sequence), "ropewalk-consumer": consumer}
    return Entry(sequence=1, subject=f"dlq.CONTROL.{consumer}.{sequence}-hash", headers=headers)


def test_a_sound_history_has_no_violation() -> None:
    assert check(a_history(sound_entries())) == []


def test_a_sound_takeover_has_no_violation() -> None:
    second = a_state("train", "running", 31, 2, pool="cpu", cpus=1)
    entries = after_running(second, a_start("train", 31, 2))
    moved = [
        an_entry(entry.message.model_copy(update={"epoch": 31, "attempt": 2}))
        if isinstance(entry.message, StageState) and entry.message.stage == "train" and entry.message.status == "done"
        else an_entry(an_end("train", 31))
        if isinstance(entry.message, StageCompleted) and entry.message.stage == "train"
        else entry
        for entry in entries
    ]
    assert check(a_history(moved)) == []


def test_an_injected_duplicate_is_no_violation() -> None:
    entries = [*sound_entries(), an_entry(RunCompleted(run_id=RUN, outcome="rejected"), **{INJECTED: "duplicate"})]
    assert check(a_history(entries)) == []


def test_dead_poison_is_no_violation() -> None:
    entries = [*sound_entries(), poison()]
    assert check(a_history(entries, letters=(a_letter(len(entries)),))) == []


LAST = len(sound_entries()) + 1
UNSOUND: dict[str, tuple[History, str]] = {
    "a run that never ends": (a_history(replaced(RunCompleted)), "lost"),
    "a submission that vanished": (a_history(sound_entries(), submitted=(RUN, "plain-2")), "lost"),
    "two terminal events": (
        a_history([*sound_entries(), an_entry(RunCancelled(run_id=RUN, mode="now"))]),
        "several endings",
    ),
    "a sound run that was cancelled": (
        a_history(replaced(RunCompleted, an_entry(RunCancelled(run_id=RUN, mode="now"), ce_id="the-end"))),
        "wrong ending",
    ),
    "an ending without guard": (a_history(replaced(RunEnding)), "wrong guard"),
    "a guard that names another event": (
        a_history(replaced(RunEnding, an_entry(RunEnding(run_id=RUN, kind="completed", event_id="other")))),
        "wrong guard",
    ),
    "a guard written twice": (
        a_history([*sound_entries(), an_entry(RunEnding(run_id=RUN, kind="completed", event_id="the-end"))]),
        "several endings",
    ),
    "an event stored twice": (
        a_history([*sound_entries(), an_entry(an_end("evaluate", 40), ce_id=f"id-{LAST - 3}")]),
        "doubled event",
    ),
    "a fact stated twice under two ids": (
        a_history([*sound_entries(), an_entry(RunAccepted(run_id=RUN, recipe={}, recipe_sha256="s"))]),
        "doubled fact",
    ),
    "an event that follows from nothing": (
        a_history([*sound_entries(), an_entry(a_start("x", 99), ce_causationid="nothing")]),
        "no cause",
    ),
    "a stage that runs after it is done": (
        a_history([*sound_entries(), an_entry(a_state("train", "running", 99, 2))]),
        "illegal sequence",
    ),
    "a stage that is left running": (a_history([*sound_entries(), an_entry(a_state("x", "running"))]), "lost"),
    "a stage that runs without a lease": (
        a_history(after_running(a_state("x", "running", 0), a_state("x", "failed", 0))),
        "illegal sequence",
    ),
    "an attempt that began twice": (
        a_history(after_running(a_state("train", "running", 30, operation_id="other"))),
        "illegal sequence",
    ),
    "one operation committed twice": (
        a_history(after_running(a_state("train", "running", 30, 2, operation_id="train-running-30-1"))),
        "illegal sequence",
    ),
    "a zombie that ends a stage": (
        a_history(after_running(a_state("train", "running", 31, 2), a_start("train", 31, 2))),
        "illegal sequence",
    ),
    "a lower epoch after a higher one": (
        a_history(after_running(a_start("train", 35), a_start("train", 34))),
        "lower epoch",
    ),
    "one epoch for two stages": (a_history(after_running(a_start("evaluate", 30))), "shared epoch"),
    "an end without its snapshot": (
        a_history(replaced(StageState, where=lambda s: (s.stage, s.status) == ("train", "done"))),
        "torn commit",
    ),
    "a snapshot without its end": (
        a_history(replaced(StageCompleted, where=lambda e: e.stage == "train")),
        "torn commit",
    ),
    "a completed run without a stage": (
        a_history([entry for entry in sound_entries() if getattr(entry.message, "stage", "") != "train"]),
        "lost",
    ),
    "a fact that is missing": (
        a_history(replaced(SegmentIngested, where=lambda s: s.segment.segment_id == "train-0")),
        "lost",
    ),
    "an effect that happened twice": (
        a_history(sound_entries(), effects=(*sound_effects(), sound_effects()[0])),
        "doubled effect",
    ),
    "an effect that never happened": (a_history(sound_entries(), effects=sound_effects()[1:]), "lost effect"),
    "a sound message among the dead": (a_history(sound_entries(), letters=(a_letter(2),)), "dead letter"),
    "poison without a letter": (a_history([*sound_entries(), poison()]), "lost letter"),
    "poison with two letters from one consumer": (
        a_history([*sound_entries(), poison()], letters=(a_letter(LAST), a_letter(LAST))),
        "doubled letter",
    ),
    "a pool that is oversubscribed": (
        a_history(after_running(a_state("x", "running", 99, pool="cpu", cpus=0.5), a_state("x", "failed", 99))),
        "oversubscribed",
    ),
    "a mirror that is behind": (a_history(sound_entries(), mirrored=3), "behind"),
    "a place kept for a stage that is over": (
        a_history(
            [
                *sound_entries(),
                an_entry(
                    PoolState(
                        run_id="cpu",
                        capacity=1,
                        operation_id="o",
                        entries=(PoolEntry(stage="train", run_id=RUN, cpus=1, ticket=1, running=True),),
                    )
                ),
            ]
        ),
        "leaked place",
    ),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_each_way_to_be_unsound_is_found(what) -> None:
    history, rule = UNSOUND[what]
    assert rule in rules_broken(history)


def test_every_rule_is_broken_by_some_history() -> None:
    histories = [history for history, _ in UNSOUND.values()]
    asleep = [rule.__name__ for rule in RULES if not any(list(rule(history)) for history in histories)]
    assert asleep == []


def test_a_violation_shows_the_history_of_its_run_only() -> None:
    other = an_entry(SubmitRun(run_id="plain-9", recipe={}))
    violations = check(a_history([other, *replaced(RunCompleted)]))
    shown = next(str(violation) for violation in violations if violation.subject == RUN)
    assert "it never ended" in shown
    assert "plain-9" not in shown
