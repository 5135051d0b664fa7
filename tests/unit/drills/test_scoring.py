"""What a timeline says about a fault, from plain values."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.drills.scorecard import Observed, check, conclude, seconds
from ropewalk.drills.scoring import (
    HeldStage,
    doubled_effects,
    doubled_probes,
    first_sign,
    held_stages,
    missing_probes,
    reactions,
    score_worker,
    stage_ended,
    taken_over,
    worker_to_kill,
    zombie_endings,
)
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.data import CorpusIngested
from ropewalk.events.drill import DrillProbed, DrillStarted
from ropewalk.events.envelope import Envelope
from ropewalk.events.monitoring import SignalComputed
from ropewalk.events.run import RunCompleted, RunFailed, StageCompleted, StageInterrupted, StageStarted
from ropewalk.events.training import TrainingInterrupted, TrainingProgressed, TrainingResumed, TrainingStarted

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = LedgerVerdict(
    ok=True,
    num_steps=10,
    num_samples=80,
    num_skipped=0,
    num_repeated=0,
    num_wrong=0,
    num_missing_steps=0,
    num_discarded_steps=2,
    num_from_hash=0,
    sentences=(),
)


def log(*messages: Message, ids: dict[int, str] | None = None, causes: dict[int, str] | None = None) -> list:
    """A timeline with one message per second; ids and causes by sequence where they matter."""
    return [
        Stored(
            sequence,
            BEGAN + timedelta(seconds=sequence),
            Envelope(
                id=(ids or {}).get(sequence, f"id-{sequence}"),
                type=message.type_name(),
                source="/svc/trainer",
                time="",
                run_id=message.run_id,
                cause_id=(causes or {}).get(sequence, ""),
            ),
            message,
        )
        for sequence, message in enumerate(messages, start=1)
    ]


def started(epoch: int, stage: str = "train", run: str = "r") -> StageStarted:
    return StageStarted(run_id=run, stage=stage, epoch=epoch)


def completed(epoch: int, stage: str = "train", run: str = "r") -> StageCompleted:
    return StageCompleted(run_id=run, stage=stage, epoch=epoch, seconds=1.0)


def ingested(num_documents: int = 1) -> CorpusIngested:
    return CorpusIngested(run_id="r", segments=(), num_documents=num_documents, num_bytes=1, num_quarantined=0)


def training(epoch: int = 1, attempt: int = 1) -> TrainingStarted:
    return TrainingStarted(
        run_id="r",
        epoch=epoch,
        attempt=attempt,
        strategy="ddp",
        num_workers=2,
        worker_pids=(10 * attempt, 10 * attempt + 1),
        total_steps=9,
        resume_step=0,
        num_parameters=1,
    )


def progressed(step: int) -> TrainingProgressed:
    return TrainingProgressed(
        run_id="r", epoch=1, step=step, total_steps=9, loss=1.0, tokens=1, tokens_per_s=1.0, seconds_left=1.0
    )


def saved() -> CheckpointSaved:
    return CheckpointSaved.model_validate(
        {name: "1" if name != "run_id" else "r" for name in CheckpointSaved.model_fields}
    )


HELD = HeldStage(run_id="r", stage="train", epoch=3, service="trainer", sequence=1)


def test_the_newest_stage_begun_and_not_ended_is_held_by_who_said_so() -> None:
    timeline = log(started(2, "search"), completed(2, "search"), started(3), started(4, "train", "other"))
    assert [(each.run_id, each.stage, each.epoch, each.service) for each in held_stages(timeline)] == [
        ("r", "train", 3, "trainer"),
        ("other", "train", 4, "trainer"),
    ]


def test_a_run_that_is_over_and_a_stage_without_a_lease_are_held_by_nobody() -> None:
    over = RunFailed(run_id="r", stage="train", message="m")
    assert held_stages(log(started(3), over, started(0, "traffic", "demo"))) == []


def test_the_first_higher_epoch_takes_the_stage_over() -> None:
    interrupted = StageInterrupted(run_id="r", stage="train", epoch=3, cause="lease")
    timeline = log(started(3), started(9, "export"), interrupted, started(5), started(7))
    taken = taken_over(timeline, HELD)
    assert taken is not None
    assert taken.sequence == 4
    sign = first_sign(timeline, HELD)
    assert sign is not None
    assert sign.sequence == 3


def test_a_stage_nobody_took_over_has_no_successor_and_no_zombie() -> None:
    timeline = log(started(3), completed(3))
    assert taken_over(timeline, HELD) is None
    assert zombie_endings(timeline, HELD) == ()
    ended = stage_ended(timeline, HELD)
    assert ended is not None
    assert ended.sequence == 2


def test_an_ending_by_the_old_epoch_after_the_takeover_is_a_zombies() -> None:
    assert len(zombie_endings(log(started(3), started(5), completed(3)), HELD)) == 1
    assert zombie_endings(log(started(3), started(5), completed(5)), HELD) == ()
    assert zombie_endings(log(started(3), completed(3), started(5)), HELD) == ()


def test_a_message_stored_twice_under_one_id_is_doubled() -> None:
    (sentence,) = doubled_effects(log(ingested(), ingested(), ids={1: "a", 2: "a"}))
    assert "is there 2 times" in sentence


def test_the_same_fact_under_two_ids_is_doubled_and_another_fact_is_not() -> None:
    assert len(doubled_effects(log(ingested(), ingested()))) == 1
    assert doubled_effects(log(ingested(1), ingested(2))) == ()


def test_a_stage_or_a_run_with_two_different_ends_is_doubled() -> None:
    two_ends = log(completed(3), completed(5))
    assert doubled_effects(two_ends) == ("stage train of r ended 2 times",)
    done = RunCompleted(run_id="r", outcome="promoted")
    assert doubled_effects(log(done, RunFailed(run_id="r", stage="train", message="m"))) == (
        "the run of r ended 2 times",
    )


def test_what_repeats_by_nature_is_not_doubled() -> None:
    signal = SignalComputed(
        run_id="r", model="m", model_version=1, signal="s", num_requests=1, statistic=0.0, threshold=1.0
    )
    assert doubled_effects(log(signal, signal, progressed(1), progressed(1), training(), training())) == ()


def test_what_was_doubled_before_the_fault_is_not_blamed_on_it() -> None:
    assert doubled_effects(log(ingested(), ingested(), progressed(1)), after=2) == ()
    assert len(doubled_effects(log(ingested(), progressed(1), ingested()), after=2)) == 1


def test_acknowledged_probes_that_are_gone_or_there_twice_are_found() -> None:
    assert missing_probes([1, 2, 3], [1, 3]) == (2,)
    probes = log(*(DrillProbed(run_id="r", drill_id="d", number=number) for number in (1, 2, 2)))
    assert doubled_probes(probes) == ("probe 2 is there 2 times",)


def test_a_worker_is_killed_only_after_a_checkpoint_and_a_step_of_its_own_group() -> None:
    assert worker_to_kill(log(training(), progressed(1))) is None
    assert worker_to_kill(log(training(), saved())) is None
    assert worker_to_kill(log(training(), progressed(1), saved())) == 11
    lost = TrainingInterrupted(run_id="r", epoch=1, attempt=1, cause="killed", last_step=2, detail="")
    assert worker_to_kill(log(training(), progressed(1), saved(), lost)) is None
    assert worker_to_kill(log(training(), progressed(1), saved(), lost, training(1, 2))) is None
    assert worker_to_kill(log(training(), progressed(1), saved(), lost, training(1, 2), progressed(2))) == 21


def killed_worker() -> list:
    return log(
        DrillStarted(run_id="r", drill_id="d", drill="kill-worker", target="t"),
        TrainingInterrupted(run_id="r", epoch=1, attempt=1, cause="killed", last_step=7, detail=""),
        TrainingResumed(run_id="r", epoch=1, attempt=2, resume_step=5, checkpoint_id="c", seconds_lost=1.0),
    )


def test_a_killed_worker_is_scored_in_the_clock_of_the_log() -> None:
    seen = score_worker(killed_worker(), killed_worker()[0], WHOLE)
    assert (seen.detect_s, seen.recover_s, seen.lost) == (1.0, 2.0, 0)
    assert seen.checks[0].detail == "at step 5, 2 steps taken again"
    assert all(each.passed for each in seen.checks)


def test_a_worker_group_that_never_resumes_fails_its_scorecard() -> None:
    timeline = killed_worker()[:2]
    card = conclude(FAULT, score_worker(timeline, timeline[0], None), first_sequence=4, last_sequence=9)
    assert not card.passed
    assert math.isnan(card.recover_s)
    assert "did not recover" in card.reason


FAULT = DrillStarted(drill="kill-service", drill_id="d", run_id="r", target="t", seed=1)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Observed(detect_s=1.0, recover_s=None), "did not recover"),
        (Observed(detect_s=1.0, recover_s=2.0, lost=3, lost_unit="steps"), "3 steps lost"),
        (Observed(detect_s=1.0, recover_s=2.0, doubled=("x ended 2 times",)), "x ended 2 times"),
        (Observed(detect_s=1.0, recover_s=2.0, checks=(check("fenced", False, "a zombie"),)), "fenced: a zombie"),
    ],
)
def test_each_kind_of_bad_news_fails_a_scorecard_with_its_reason(seen: Observed, said: str) -> None:
    card = conclude(FAULT, seen, first_sequence=4, last_sequence=9)
    assert not card.passed
    assert said in card.reason


def test_a_good_scorecard_says_how_long_it_took() -> None:
    card = conclude(FAULT, Observed(detect_s=0.2, recover_s=11.26), first_sequence=4, last_sequence=9)
    assert card.passed
    assert card.reason == "noticed after 0.20 s, working again after 11.3 s, no messages lost, nothing doubled"
    assert (card.first_sequence, card.last_sequence) == (4, 9)
    assert seconds(math.nan) == "never"


def test_reactions_to_duplicates_are_told_from_the_duplicates_and_from_strangers() -> None:
    before = log(ingested(), completed(3))
    after = log(
        *(progressed(0), progressed(0)),
        ingested(),  # 3: the duplicate itself
        completed(3),  # 4: said again by a service
        started(9),  # 5: follows from a duplicate
        progressed(5),  # 6: from elsewhere
        ids={1: "x", 2: "y", 3: "id-1", 4: "id-2"},
        causes={5: "id-1"},
    )
    found = reactions(before, after, {3})
    assert len(found) == 2
    assert "StageCompleted was said again at 4" in found
    assert "StageStarted at 5 follows from a duplicate" in found
