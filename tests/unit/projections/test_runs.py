"""The state of runs is a fold over the log."""

import pytest

from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.resources import Resources
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    StageCompleted,
    StageInterrupted,
    StageQueued,
    StageStarted,
    SubmitRun,
)
from ropewalk.events.training import StragglerFound, TrainingInterrupted, TrainingResumed
from ropewalk.projections.projector import Projector
from ropewalk.projections.runs import summary_of

SUBMITTED = SubmitRun(run_id="a", recipe={"base": "python-stdlib"})
ACCEPTED = RunAccepted(run_id="a", recipe={"name": "python-stdlib"}, recipe_sha256="x")
TRAINING = StageStarted(run_id="a", stage="train", epoch=1)


def summarise(stored_messages):
    projector = Projector(["runs"])
    for stored in stored_messages:
        projector.apply(stored)
    return [summary_of(run_id, projector.view("runs", run_id)) for run_id in projector.keys("runs")]


def summary_after(log, *messages):
    (run,) = summarise(log(*messages))
    return run


def test_request_alone_is_a_submitted_run_that_is_not_over(log):
    run = summary_after(log, SUBMITTED)

    assert (run.status, run.recipe, run.is_over) == ("submitted", "python-stdlib", False)


def test_accepted_run_is_running_in_its_latest_stage(log):
    run = summary_after(log, SUBMITTED, ACCEPTED, TRAINING)

    assert (run.status, run.stage) == ("running", "train")


def test_interruption_shows_its_cause_until_the_stage_starts_again(log):
    stopped = StageInterrupted(run_id="a", stage="train", epoch=1, cause="lease lost")

    assert summary_after(log, SUBMITTED, TRAINING, stopped).detail == "lease lost"
    assert summary_after(log, SUBMITTED, TRAINING, stopped, TRAINING).detail == ""


def test_a_paused_run_is_not_over_and_says_how_it_goes_on_until_it_is_resumed_or_ends(log):
    paused = RunPaused(run_id="a", stage="train", at_unix=1.0, reason="the GPUs are lent")
    left = StageInterrupted(run_id="a", stage="train", epoch=1, cause="the run was paused")
    resumed = RunResumed(run_id="a", stage="train", deadline_unix=100.0)
    queued = StageQueued(run_id="a", stage="train", pool="p", cpus=1.0)

    run = summary_after(log, SUBMITTED, ACCEPTED, TRAINING, paused, left)
    assert (run.status, run.stage, run.is_over) == ("paused", "train", False)
    assert run.detail == "the GPUs are lent; `ropewalk resume a` lets it go on"
    run = summary_after(log, SUBMITTED, ACCEPTED, TRAINING, paused, left, resumed, queued)
    assert (run.status, run.deadline_at.timestamp()) == ("queued", 100.0)
    assert summary_after(log, TRAINING, paused, left, resumed, queued, TRAINING).status == "running"
    assert summary_after(log, TRAINING, paused, left, RunCancelled(run_id="a", mode="now")).status == "cancelled"
    export = StageStarted(run_id="a", stage="export", epoch=1)
    assert summary_after(log, TRAINING, paused, export).status == "running"  # it came too late


def test_a_loss_of_the_workers_is_shown_with_its_reason_until_they_are_back(log):
    lost = TrainingInterrupted(
        run_id="a", epoch=1, attempt=1, cause="hang", last_step=12, detail="rank 1 was stopped in phase step of step 12"
    )
    back = TrainingResumed(run_id="a", epoch=1, attempt=2, resume_step=10, checkpoint_id="", seconds_lost=3.0)

    shown = summary_after(log, SUBMITTED, TRAINING, lost).detail

    assert shown == "hang at about step 12: rank 1 was stopped in phase step of step 12"
    assert summary_after(log, SUBMITTED, TRAINING, lost, back).detail == ""


def test_a_slow_rank_is_shown_until_another_group_begins(log):
    slow = StragglerFound(run_id="a", epoch=1, attempt=1, rank=1, speed=0.5, since_step=12, step=48)

    assert "waits for rank 1: 50% of the speed" in summary_after(log, SUBMITTED, TRAINING, slow).detail


def test_a_checkpoint_that_cannot_be_saved_is_shown_until_one_is(log):
    failed = CheckpointSaveFailed(run_id="a", checkpoint_id="a-1-8", epoch=1, step=8, reason="the disk is full")
    saved = CheckpointSaved(
        run_id="a",
        checkpoint_id="a-1-16",
        epoch=1,
        step=16,
        uri="runs/a/checkpoints/1-16",
        manifest_sha256="0",
        num_bytes=1,
        blocked_s=0.0,
    )
    assert summary_after(log, SUBMITTED, TRAINING, failed).detail == "step 8 not saved: the disk is full"
    assert summary_after(log, SUBMITTED, TRAINING, failed, saved).detail == ""


@pytest.mark.parametrize(
    ("ending", "status", "detail"),
    [
        (RunCompleted(run_id="a", outcome="promoted", model="m", model_version=2), "promoted", ""),
        (RunCompleted(run_id="a", outcome="need_more"), "need_more", ""),
        (RunFailed(run_id="a", stage="train", message="the disk is full"), "failed", "the disk is full"),
        (RunCancelled(run_id="a", mode="now", reason="wrong data"), "cancelled", "wrong data"),
        (RunRejected(run_id="a", violations=("one", "two")), "refused", "one; two"),
    ],
)
def test_endings_say_how_and_why(log, ending, status, detail):
    run = summary_after(log, SUBMITTED, ACCEPTED, ending)

    assert (run.status, run.detail, run.is_over) == (status, detail, True)
    assert run.ended_at > run.started_at


def test_stages_after_the_end_do_not_wake_a_run_up(log):
    late = StageStarted(run_id="a", stage="traffic", epoch=0)
    done = StageCompleted(run_id="a", stage="traffic", epoch=0, seconds=1.0)

    run = summary_after(log, ACCEPTED, RunCompleted(run_id="a", outcome="promoted"), late, done)

    assert run.status == "promoted"


def test_runs_are_kept_apart_and_in_the_order_of_their_requests(log):
    other = SubmitRun(run_id="b", recipe={"name": "mine"})

    runs = summarise(log(SUBMITTED, other, ACCEPTED))

    assert [(run.run_id, run.status) for run in runs] == [("a", "running"), ("b", "submitted")]


@pytest.mark.parametrize(
    ("needs", "room", "words"),
    [
        ({"cpus": 64}, {}, "train needs 64 CPUs and pool p has 2 CPUs: cancel it and submit it with fewer workers"),
        ({"cpus": 2}, {}, "train needs 2 CPUs of the 2 CPUs of pool p, and others are before it"),
        (
            {"cpus": 1, "gpus": 2},
            {"room": Resources(cpus=2, gpus=1, gpu_kind="h100")},
            "train needs 1 CPU and 2 GPUs and pool p has 2 CPUs and 1 GPU (h100): cancel it",
        ),
    ],
)
def test_a_run_in_line_says_what_it_waits_for_until_it_begins(log, needs, room, words):
    queued = StageQueued(run_id="a", stage="train", pool="p", capacity=2, **needs, **room)
    waiting = summary_after(log, SUBMITTED, ACCEPTED, queued)
    assert (waiting.status, waiting.detail[: len(words)]) == ("queued", words)
    begun = summary_after(log, SUBMITTED, ACCEPTED, queued, StageStarted(run_id="a", stage="train", epoch=1))
    assert (begun.status, begun.detail) == ("running", "")


@pytest.mark.parametrize("deadline_unix", [1e300, float("inf"), float("nan"), -5.0])
def test_a_deadline_beyond_the_calendar_ends_no_projection(log, deadline_unix):
    accepted = ACCEPTED.model_copy(update={"deadline_unix": deadline_unix})
    assert summary_after(log, SUBMITTED, accepted).deadline_at is not None


@pytest.mark.parametrize("outcome", ["need_more", "rejected"])
def test_run_that_was_not_promoted_has_the_reasons_of_the_gate(log, outcome):
    reason = "only 5 held-out files were scored and the gate needs 20, so 15 are missing: add sources"
    completed = RunCompleted(run_id="a", outcome=outcome)

    assert summary_after(log, SUBMITTED, ACCEPTED, gate(reason), completed).detail == reason
    assert summary_after(log, SUBMITTED, ACCEPTED, completed).detail == ""
    assert summary_after(log, SUBMITTED, ACCEPTED, gate("x" * 9999), completed).detail.startswith("xxx")
    assert len(summary_after(log, SUBMITTED, ACCEPTED, gate("x" * 9999), completed).detail) < 2100


def test_a_run_whose_decision_waits_says_so_until_it_is_judged_again_or_ends(log):
    waits = gate("about 9 more files would settle it").model_copy(update={"verdict": "deferred"})
    judged = StageCompleted(run_id="a", stage="evaluate", epoch=1, seconds=1, cpu_seconds=1)
    deferred = summary_after(log, SUBMITTED, ACCEPTED, judged, waits)
    assert (deferred.status, deferred.is_over) == ("deferred", False)
    assert deferred.detail.startswith("it waits for more until ")
    assert deferred.detail.endswith("about 9 more files would settle it")
    again = StageStarted(run_id="a", stage="evaluate", epoch=2)
    assert summary_after(log, SUBMITTED, ACCEPTED, judged, waits, again).status == "running"
    ended = RunCompleted(run_id="a", outcome="rejected")
    assert summary_after(log, SUBMITTED, ACCEPTED, judged, waits, ended).status == "rejected"


def test_promoted_run_and_a_running_one_need_no_reasons(log):
    promoted = RunCompleted(run_id="a", outcome="promoted", model="m", model_version=1)

    assert summary_after(log, SUBMITTED, ACCEPTED, gate("it is better"), promoted).detail == ""
    assert summary_after(log, SUBMITTED, ACCEPTED, gate("it is better")).detail == ""


def gate(reason):
    gain = Estimate(metric="m", value=0.1, lower=0.0, upper=0.2, level=0.95, num_items=5, method="bootstrap")
    return GateDecided(
        run_id="a",
        checkpoint_id="c",
        export_uri="e",
        evaluation_uri="v",
        decision="need_more",
        reasons=(reason,),
        baseline="unigram",
        comparison=gain,
    )
