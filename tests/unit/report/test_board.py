"""What is shown of any run while it is under way."""

import pytest

from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, SegmentCleaned, SegmentIngested, SegmentRef
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageInterrupted,
    StageQueued,
    StageStarted,
)
from ropewalk.events.training import (
    SearchCompleted,
    StepMetrics,
    StepMetricsBatch,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingResumed,
    TrainingStarted,
    TrainingValidated,
    TrialCompleted,
)
from ropewalk.report.board import Board, after, where

RUN = "r"


def board_after(*messages: Message) -> Board:
    board = Board.of_a_run()
    for second, message in enumerate(messages, start=1):
        board = after(board, message, float(second))
    return board


def began(stage: str) -> StageStarted:
    return StageStarted(run_id=RUN, stage=stage, epoch=1)


def test_a_run_shows_the_stages_that_every_run_has_and_not_those_of_the_demo() -> None:
    rows = ["ingest", "preprocess", "search", "train", "export", "evaluate", "deploy", "promote"]
    assert list(Board.of_a_run().rows) == rows
    assert list(board_after(began("traffic"), began("stack")).rows) == rows


def test_a_stage_in_line_says_what_it_waits_for_until_it_runs() -> None:
    queued = StageQueued(run_id=RUN, stage="train", pool="default", cpus=2.0)
    assert board_after(queued).rows["train"].status == "queued"
    assert board_after(queued).rows["train"].note == "waits for 2 CPUs of pool default"
    running = board_after(queued, began("train")).rows["train"]
    assert (running.status, running.note, running.began) == ("running", "", 2.0)


def test_a_promotion_says_what_it_does_in_its_minutes_of_silence() -> None:
    assert "promote runs for 7.0 s: the weights, the export and the endpoint answer the same" in where(
        board_after(began("promote")), 8.0
    )


def test_a_paused_stage_is_shown_as_paused_until_it_runs_again() -> None:
    left = StageInterrupted(run_id=RUN, stage="train", epoch=1, cause="the run was paused")
    board = board_after(began("train"), left)
    assert (board.rows["train"].status, board.rows["train"].note) == ("paused", "")
    assert "train is paused" in where(board, 10.0)
    assert board_after(began("train"), left, began("train")).rows["train"].status == "running"


def test_step_metrics_move_the_board_between_two_facts() -> None:
    started = TrainingStarted(
        run_id=RUN,
        epoch=1,
        attempt=1,
        strategy="ddp",
        num_workers=2,
        worker_pids=(1, 2),
        total_steps=100,
        resume_step=0,
        num_parameters=1,
    )
    steps = tuple(
        StepMetrics(
            time_unix=0.0,
            attempt=1,
            step=step,
            loss=3.0,
            grad_norm=1.0,
            lr=0.1,
            tokens=1000,
            step_s=0.5,
            data_s=0.0,
            checkpoint_s=0.0,
        )
        for step in (48, 49)
    )
    board = board_after(began("train"), started, StepMetricsBatch(run_id=RUN, rows=steps))
    assert board.rows["train"].share == 0.49
    assert board.rows["train"].note == "step 49 of 100, loss 3.000, 2,000 tokens/s, 25.0 s left"
    assert board.news == 3.0
    look = TrainingValidated(run_id=RUN, epoch=1, step=40, loss=2.5, best_step=40, best_loss=2.5, num_tokens=9)
    seen = board_after(began("train"), started, look, StepMetricsBatch(run_id=RUN, rows=steps))
    assert "loss 3.000 (validation 2.500)," in seen.rows["train"].note
    assert board_after(StepMetricsBatch(run_id=RUN, rows=steps)).rows["train"].status == "waiting"


@pytest.mark.parametrize(
    ("ending", "words", "status"),
    [
        (RunRejected(run_id=RUN, violations=("field 'x'",)), "the recipe was refused: field 'x'", "failed"),
        (RunCancelled(run_id=RUN, mode="now", reason="wrong data"), "cancelled at once: wrong data", "failed"),
        (RunFailed(run_id=RUN, stage="train", message="no data"), "failed in train: no data", "failed"),
        (RunCompleted(run_id=RUN, outcome="promoted", model="code", model_version=3), "promoted as code@3", "done"),
    ],
)
def test_the_board_says_how_a_run_ended_and_nothing_runs_on(ending: Message, words: str, status: str) -> None:
    board = board_after(RunAccepted(run_id=RUN, recipe={}, recipe_sha256=""), began("train"), ending)
    assert board.ending == words
    assert board.rows["train"].status == status


def test_the_share_of_the_preprocessing_is_its_cleaned_segments() -> None:
    segment = SegmentRef(segment_id="s", uri="u", num_documents=1, num_bytes=1)
    corpus = CorpusIngested(run_id=RUN, segments=(segment,) * 4, num_documents=4, num_bytes=4, num_quarantined=0)
    cleaned = SegmentCleaned(run_id=RUN, segment_id="s", num_inputs=1, num_kept=1, num_held_out=0, dropped={})
    assert board_after(corpus, began("preprocess"), cleaned).rows["preprocess"].share == 0.25


def test_a_stage_that_is_done_says_the_whole_and_not_its_last_part() -> None:
    segment = SegmentRef(segment_id="s", uri="u", num_documents=98, num_bytes=1_600_000)
    part = SegmentIngested(run_id=RUN, source_id="a", segment=segment)
    whole = CorpusIngested(run_id=RUN, segments=(segment,), num_documents=475, num_bytes=9_600_000, num_quarantined=0)
    done = StageCompleted(run_id=RUN, stage="ingest", epoch=1, seconds=4.0)

    waiting = board_after(began("ingest"), part, done).rows["ingest"]
    row = board_after(began("ingest"), part, done, whole).rows["ingest"]

    assert (waiting.status, waiting.note, waiting.is_whole) == ("done", "", False)
    assert (row.status, row.note, row.is_whole) == ("done", "475 documents, 9.6 MB, 0 set aside", True)
    assert board_after(began("ingest"), part, done, began("preprocess")).rows["ingest"].is_whole


def test_a_search_and_a_training_that_are_done_say_what_came_of_them() -> None:
    trial = TrialCompleted(
        run_id=RUN, trial=2, status="pruned", params={"lr_scale": 4.0}, loss=4.9, num_steps=8, seconds=1.0
    )
    searched = SearchCompleted(run_id=RUN, num_trials=3, params={"lr_scale": 1.0}, loss=4.05)
    over = StageCompleted(run_id=RUN, stage="search", epoch=1, seconds=4.0)
    assert board_after(began("search"), trial, over, searched).rows["search"].note == "best of 3: lr_scale 1"

    step = StepMetrics(
        time_unix=0.0,
        attempt=1,
        step=1783,
        loss=2.0,
        grad_norm=1.0,
        lr=0.1,
        tokens=10,
        step_s=0.1,
        data_s=0.0,
        checkpoint_s=0.0,
    )
    trained = TrainingCompleted(
        run_id=RUN, checkpoint_id="c", uri="u", step=1800, loss=2.0, tokens=18_000, seconds=180.0
    )
    over = StageCompleted(run_id=RUN, stage="train", epoch=1, seconds=4.0)
    late = StepMetricsBatch(run_id=RUN, rows=(step,))
    assert board_after(began("train"), over, trained, late).rows["train"].note.startswith("step 1800, ")


def test_a_run_that_was_not_promoted_ends_with_the_reasons_of_the_gate() -> None:
    gain = Estimate(metric="m", value=0.1, lower=0.0, upper=0.2, level=0.95, num_items=5, method="bootstrap")
    decided = GateDecided(
        run_id=RUN,
        checkpoint_id="c",
        export_uri="e",
        evaluation_uri="v",
        decision="need_more",
        reasons=("only 5 held-out files were scored",),
        baseline="unigram",
        comparison=gain,
    )
    ended = board_after(decided, RunCompleted(run_id=RUN, outcome="need_more"))
    assert ended.ending == "need_more: only 5 held-out files were scored"
    assert board_after(decided, RunCompleted(run_id=RUN, outcome="promoted")).ending == "promoted"
    rejected = decided.model_copy(update={"decision": "reject"})  # its reasons name no remedy
    assert "scored; give it more `minutes` or more data" in board_after(rejected).rows["evaluate"].note
    ended = board_after(rejected, RunCompleted(run_id=RUN, outcome="rejected"))
    assert "scored; give it more `minutes` or more data" in ended.ending


def test_the_reason_of_a_loss_stays_in_sight_after_the_workers_are_back() -> None:
    lost = TrainingInterrupted(run_id="r", epoch=1, attempt=1, cause="hang", last_step=9, detail="rank 1 was stopped")
    back = TrainingResumed(run_id="r", epoch=1, attempt=2, resume_step=8, checkpoint_id="", seconds_lost=7.0)
    board = board_after(began("train"), lost)
    assert (board.incident, board.is_recovered) == ("hang at about step 9: rank 1 was stopped", False)
    board = board_after(began("train"), lost, back)
    assert board.is_recovered
    assert board.incident.endswith("(hang at about step 9: rank 1 was stopped)")
