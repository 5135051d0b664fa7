"""What was used and what is allowed in, whether to stop out: no clock."""

from pathlib import Path

import pytest

from ropewalk.events.base import Message
from ropewalk.events.run import StageStarted
from ropewalk.events.training import StepMetrics, TrainingInterrupted, TrainingProgressed, TrainingStarted
from ropewalk.recipes.caps import CapsRecipe
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, RecipeError, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.cap_watch import CapWatch
from ropewalk.trainer.adapters.reports import ClusterSpec, TrainingJob
from ropewalk.trainer.adapters.worker.job import Finished, StepsDone
from ropewalk.trainer.domain.caps import Use, cap_reached, seconds_spent, step_of_cap


def a_recipe(**caps: float) -> Recipe:
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    return complete(Recipe(sources=(source,), size="tiny", minutes=1.0, num_workers=2, caps=CapsRecipe(**caps)))


def started(attempt: int) -> TrainingStarted:
    return TrainingStarted(
        run_id="r",
        epoch=1,
        attempt=attempt,
        strategy="ddp",
        num_workers=2,
        worker_pids=(),
        total_steps=9,
        resume_step=0,
        num_parameters=1,
    )


def lost(attempt: int, cause: str) -> TrainingInterrupted:
    return TrainingInterrupted(run_id="r", epoch=1, attempt=attempt, cause=cause, last_step=3, detail="")


def progressed(step: int) -> TrainingProgressed:
    return TrainingProgressed(
        run_id="r", epoch=1, step=step, total_steps=9, loss=1.0, tokens=1, tokens_per_s=1.0, seconds_left=1.0
    )


def test_without_caps_nothing_is_reached() -> None:
    assert cap_reached(a_recipe(), Use(spent_s=1e9)) == ""
    assert step_of_cap(a_recipe()) == 0


def test_minutes_are_reached_while_the_step_under_way_and_the_save_still_fit() -> None:
    recipe = a_recipe(minutes=10)
    assert cap_reached(recipe, Use(spent_s=570, step_s=5, save_s=5)) == ""
    assert cap_reached(recipe, Use(spent_s=580, step_s=5, save_s=5)) == "caps.minutes, 10"


def test_money_is_time_at_the_price_of_all_workers() -> None:
    recipe = a_recipe(usd=1.0)
    hours = 1.0 / (2 * recipe.derived.usd_per_cpu_hour)
    assert cap_reached(recipe, Use(spent_s=3600 * hours * 0.99)) == ""
    assert cap_reached(recipe, Use(spent_s=3600 * hours)) == "caps.usd, 1"


def test_tokens_end_training_before_the_step_that_would_exceed_them() -> None:
    step = a_recipe().derived.tokens_per_step
    assert step_of_cap(a_recipe(tokens=10 * step)) == 10
    assert step_of_cap(a_recipe(tokens=11 * step - 1)) == 10


def test_a_cap_below_a_single_step_is_refused_with_the_size_of_a_step() -> None:
    with pytest.raises(RecipeError, match=r"caps.tokens is 3: a single step learns from \d+ tokens"):
        a_recipe(tokens=3)


def held(epoch: int) -> StageStarted:
    return StageStarted(run_id="r", stage="train", epoch=epoch)


def test_what_earlier_holders_spent_is_in_the_log_from_their_start_and_the_time_without_one_is_not() -> None:
    events: list[tuple[Message, float]] = [
        (held(1), 80.0),
        (started(1), 100.0),
        (lost(1, "worker_lost"), 130.0),
        (started(2), 140.0),
        (progressed(5), 150.0),
        (held(2), 8990.0),
        (lost(2, "service_lost"), 9000.0),
        (started(3), 9010.0),
        (progressed(7), 9015.0),
    ]
    assert seconds_spent(events) == 70 + 25
    assert seconds_spent([]) == 0


def test_holders_that_are_killed_before_their_first_step_use_up_the_cap() -> None:
    events: list[tuple[Message, float]] = [(held(epoch), 10.0 * epoch) for epoch in range(1, 8)]
    assert seconds_spent(events) == 60
    assert seconds_spent([(held(1), 10.0), (held(2), 9000.0)]) == 30  # nobody knows how long it lived


def test_the_workers_are_asked_to_stop_once_and_the_end_says_by_which_cap(tmp_path: Path) -> None:
    recipe = a_recipe(minutes=1.0)
    job = TrainingJob(
        run_id="r",
        epoch=1,
        recipe=recipe,
        dataset_uri="",
        dataset_version="",
        tokenizer_uri="",
        store=StoreAddress(url=tmp_path.as_uri()),
        scratch=tmp_path,
        cluster=ClusterSpec(address="", num_cpus=1, temporary=tmp_path),
        first_attempt=1,
        announced=frozenset(),
        matrix_lr=1.0,
        adam_lr=1.0,
        stop_file=tmp_path / "stop",
        stall_s=9.0,
        spent_s=40.0,
    )
    row = StepMetrics(
        time_unix=0.0,
        attempt=1,
        step=5,
        loss=1.0,
        grad_norm=1.0,
        lr=1.0,
        tokens=1,
        step_s=1.0,
        data_s=0.0,
        checkpoint_s=1.0,
    )
    finished = Finished(step=6, loss=1.0, tokens=1, seconds=1.0, stopped=True, checkpoint_id="c", uri="u")
    watch = CapWatch(job=job)
    watch.note(StepsDone(rows=(row,)))
    assert not job.stop_file.exists()
    watch.note(StepsDone(rows=(row.model_copy(update={"checkpoint_s": 10.0}),)))
    assert job.stop_file.exists()
    assert watch.said(finished).stopped_by == "caps.minutes, 1"
