"""The demo's decisions, with plain values."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ropewalk.demo.choice import demo_fields, free_model_name, unfinished_run
from ropewalk.demo.kill import KillPlan, observe
from ropewalk.demo.prompts import longest_prompt, ordinary_prompts, shifted_prompts
from ropewalk.demo.verdict import failed_drill, problems
from ropewalk.drills.scorecard import Observed, conclude
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.drill import DrillStarted
from ropewalk.events.run import RunAccepted, RunFailed, StageCompleted, StageStarted
from ropewalk.events.training import (
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
    TrialCompleted,
)
from ropewalk.projections.runs import RunSummary
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.report.board import Board, after
from ropewalk.report.card import ReportCard

RUN = "r-1"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def started(*pids, resume_step=0):
    return TrainingStarted(
        run_id=RUN,
        epoch=1,
        attempt=1,
        strategy="fsdp",
        num_workers=len(pids),
        worker_pids=pids,
        total_steps=100,
        resume_step=resume_step,
        num_parameters=1000,
    )


def progressed(step):
    return TrainingProgressed(
        run_id=RUN, epoch=1, step=step, total_steps=100, loss=3.0, tokens=1, tokens_per_s=1.0, seconds_left=1.0
    )


def saved(step):
    return CheckpointSaved(
        run_id=RUN,
        checkpoint_id=f"{RUN}-1-{step}",
        epoch=1,
        step=step,
        uri="x",
        manifest_sha256="x",
        num_bytes=1,
        blocked_s=0.0,
    )


def interrupted():
    return TrainingInterrupted(run_id=RUN, epoch=1, attempt=1, cause="worker killed", last_step=50, detail="")


def plan_after(*messages):
    plan = KillPlan()
    for message in messages:
        plan = observe(plan, message)
    return plan


def test_last_worker_is_killed_past_the_middle_once_two_checkpoints_are_saved():
    begun = (started(11, 12), saved(10), saved(20))

    assert plan_after(*begun, progressed(44)).victim is None
    assert plan_after(*begun, progressed(45)).victim == 12


def test_nobody_is_killed_before_there_are_two_checkpoints():
    assert plan_after(started(11, 12), saved(10), progressed(90)).victim is None


def test_nobody_is_killed_in_a_run_that_already_lost_a_worker():
    plan = plan_after(started(11, 12), saved(10), saved(20), interrupted(), started(21, 22), progressed(60))

    assert plan.victim is None


def test_board_follows_a_stage_from_its_start_to_its_end():
    board = after(Board(), StageStarted(run_id=RUN, stage="train", epoch=1))
    assert board.rows["train"].status == "running"

    board = after(board, progressed(25))
    assert board.rows["train"].share == 0.25
    assert board.rows["train"].note.startswith("step 25 of 100")

    board = after(board, StageCompleted(run_id=RUN, stage="train", epoch=1, seconds=9.0))
    assert (board.rows["train"].status, board.rows["train"].seconds) == ("done", 9.0)


def test_board_remembers_the_loss_of_a_worker_and_its_return():
    board = after(Board(), interrupted())
    assert board.incident == "worker killed at about step 50"

    resumed = TrainingResumed(run_id=RUN, epoch=1, attempt=2, resume_step=40, checkpoint_id="c", seconds_lost=8.5)
    went_on = "training goes on from step 40, 8.5 s after the loss (worker killed at about step 50)"
    assert after(board, resumed).incident == went_on


def test_share_of_the_search_is_its_ended_trials():
    board = after(Board(), RunAccepted(run_id=RUN, recipe={"trials": 4}, recipe_sha256="x"))
    trial = TrialCompleted(run_id=RUN, trial=0, params={}, loss=5.0, num_steps=24, status="complete", seconds=1.0)

    assert after(board, trial).rows["search"].share == 0.25
    assert after(Board(), trial).rows["search"].share is None


def test_board_shows_a_failed_stage_in_its_own_words():
    board = after(Board(), RunFailed(run_id=RUN, stage="evaluate", message="no document was held out"))

    assert (board.rows["evaluate"].status, board.rows["evaluate"].note) == ("failed", "no document was held out")


def test_board_ignores_unknown_stages():
    board = after(Board(), StageStarted(run_id=RUN, stage="train", epoch=1))

    assert after(board, StageStarted(run_id=RUN, stage="of-a-later-version", epoch=1)) == board


def test_ordinary_prompts_are_code_and_the_same_for_the_same_seed():
    prompts = ordinary_prompts(160, 3, 240)

    assert len(prompts) == 160
    assert prompts == ordinary_prompts(160, 3, 240)
    assert all(1 <= len(prompt.encode()) <= 240 for prompt in prompts)
    assert sum("(" in prompt or "=" in prompt or ":" in prompt for prompt in prompts) > 120


def test_shifted_prompts_vary_and_hold_three_languages():
    prompts = shifted_prompts(80, 3, 240)

    assert len(set(prompts)) > 75
    everything = " ".join(prompts)
    assert all(word in everything for word in ("Ausschuss", "commission", "shall indemnify"))


@pytest.mark.parametrize("context_length", [64, 256, 2048])
def test_prompts_and_their_completions_fit_the_context_of_any_byte_level_tokenizer(context_length):
    most = longest_prompt(context_length)

    prompts = ordinary_prompts(50, 1, most) + shifted_prompts(50, 1, most)

    assert max(len(prompt.encode()) for prompt in prompts) + 16 <= context_length


def a_run(status, model="", recipe="python-stdlib"):
    return RunSummary(run_id=RUN, status=status, recipe=recipe, started_at=NOW, model=model)


def test_interrupted_demo_is_continued():
    assert unfinished_run([a_run("promoted"), a_run("running")], "python-stdlib") is not None


@pytest.mark.parametrize("newest", [a_run("promoted"), a_run("failed"), a_run("running", recipe="mine")])
def test_finished_or_foreign_run_is_not_continued(newest):
    assert unfinished_run([a_run("running"), newest], "python-stdlib") is None
    assert unfinished_run([], "python-stdlib") is None


def test_each_demo_promotes_under_a_name_that_no_earlier_one_took():
    assert free_model_name([], "pycode") == "pycode"
    assert free_model_name([a_run("promoted", "pycode")], "pycode") == "pycode-2"
    assert free_model_name([a_run("promoted", "pycode"), a_run("promoted", "pycode-2")], "pycode") == "pycode-3"


def test_run_that_was_not_promoted_takes_no_name():
    assert free_model_name([a_run("rejected", "pycode")], "pycode") == "pycode"


def test_submitted_fields_are_a_sound_recipe_with_budget_and_name():
    fields = {"base": "python-stdlib"}

    recipe = resolve_recipe(demo_fields(fields, resolve_recipe(fields), "pycode-2", 30.0))

    assert (recipe.model, recipe.minutes, recipe.promotion.alias) == ("pycode-2", 30.0, "production")


def a_card(**changes):
    card = ReportCard(
        run_id=RUN,
        recipe="x",
        recipe_sha256="",
        outcome="promoted",
        model="m",
        model_version=1,
        began_at=NOW,
        seconds=1.0,
    )
    return replace(card, **changes)


def test_verdict_names_everything_that_is_missing():
    sentences = " ".join(problems(a_card()))

    for missing in ("parity", "ledger", "no request", "no alarm", "exactly once"):
        assert missing in sentences


def test_verdict_of_a_failed_run_is_its_own_sentence():
    found = problems(a_card(outcome="unfinished"), "stage train failed: the disk is full")

    assert found == ("stage train failed: the disk is full",)


@pytest.mark.parametrize(("recover_s", "said"), [(3.0, ()), (None, ("the drill kill-worker failed: it did not",))])
def test_a_demo_whose_killed_worker_did_not_come_back_says_so(recover_s, said):
    fault = DrillStarted(drill="kill-worker", drill_id="d", run_id="r", target="t")
    card = conclude(fault, Observed(detect_s=1.0, recover_s=recover_s), first_sequence=1, last_sequence=2)
    assert [each.startswith(start) for each, start in zip(failed_drill(card), said, strict=True)] == [True] * len(said)


def test_a_demo_that_killed_no_worker_answers_for_none():
    assert failed_drill(None) == ()
