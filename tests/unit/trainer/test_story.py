"""Which events follow from what workers show: plain values, made-up times."""

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.training import (
    StepMetrics,
    StepMetricsBatch,
    StepsCommitted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingRolledBack,
    TrainingStarted,
    TrainingValidated,
)
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.trainer.domain.goodput import Goodput
from ropewalk.trainer.domain.recovery import Loss
from ropewalk.trainer.domain.story import GroupFacts, Past, Story, Told, past_of

RECIPE = complete(Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny", minutes=0.1))

FACTS = GroupFacts(num_parameters=1000, device="CPU, fp32")


def a_story(past: Past | None = None, epoch: int = 7) -> Story:
    return Story(run_id="r", epoch=epoch, recipe=RECIPE, past=past or Past(), goodput=Goodput(began=99.0))


def a_row(step: int, *, at: float, attempt: int = 1) -> StepMetrics:
    return StepMetrics(
        time_unix=at,
        attempt=attempt,
        step=step,
        loss=2.0,
        grad_norm=1.0,
        lr=0.1,
        tokens=256,
        step_s=0.25,
        data_s=0.0,
        checkpoint_s=0.25,
    )


def a_loss(attempt: int, *, last_step: int, at: float) -> Loss:
    return Loss(attempt=attempt, cause="worker_lost", detail="killed", start_step=0, last_step=last_step, time_unix=at)


def a_checkpoint(step: int, *, epoch: int = 7) -> tuple[CheckpointSaved, StepsCommitted]:
    saved = CheckpointSaved(
        run_id="r",
        checkpoint_id=f"r-{epoch}-{step}",
        epoch=epoch,
        step=step,
        uri=f"runs/r/checkpoints/{epoch}-{step}",
        manifest_sha256=f"{epoch}{step}",
        num_bytes=1,
        blocked_s=0.0,
    )
    committed = StepsCommitted(
        run_id="r",
        epoch=epoch,
        first_step=step - 10,
        last_step=step - 1,
        num_samples=40,
        sha256="s",
        uri=f"{saved.uri}/ledger.jsonl",
        checkpoint_id=saved.checkpoint_id,
    )
    return saved, committed


def only(kind: type[Message], told: list[Told]) -> list[Message]:
    return [message for message, _ in told if isinstance(message, kind)]


def start(story: Story, attempt: int = 1, resume_step: int = 0) -> list[Told]:
    return story.group_started(attempt, (10, 11), resume_step, "r-7-0" if resume_step else "", FACTS)


def test_a_start_names_the_processes_of_the_workers() -> None:
    [started] = only(TrainingStarted, start(a_story()))
    assert isinstance(started, TrainingStarted)
    assert started.worker_pids == (10, 11)
    assert started.total_steps == RECIPE.derived.total_steps


def test_every_row_is_told_but_progress_only_every_two_seconds() -> None:
    story = a_story()
    start(story)
    told = [item for step in range(10) for item in story.steps_taken((a_row(step, at=100.0 + 0.5 * step),))]
    assert len(only(StepMetricsBatch, told)) == 10
    assert [message.step for message in only(TrainingProgressed, told) if isinstance(message, TrainingProgressed)] == [
        0,
        4,
        8,
    ]


def test_progress_counts_tokens_of_the_run_and_the_time_left_at_this_pace() -> None:
    story = a_story()
    [progress] = only(TrainingProgressed, story.steps_taken((a_row(8, at=100.0), a_row(9, at=100.5))))
    assert isinstance(progress, TrainingProgressed)
    assert progress.tokens == 10 * 256
    assert progress.tokens_per_s == 512.0
    assert progress.seconds_left == (RECIPE.derived.total_steps - 10) * 0.5


def test_a_loss_costs_the_time_from_the_last_sign_of_life_to_the_first_new_step() -> None:
    story = a_story()
    start(story)
    story.steps_taken((a_row(4, at=100.0),))
    [(interrupted, _)] = story.group_lost(a_loss(1, last_step=4, at=100.0))
    assert isinstance(interrupted, TrainingInterrupted)
    start(story, attempt=2, resume_step=3)
    [resumed] = only(TrainingResumed, story.steps_taken((a_row(3, at=108.5, attempt=2), a_row(4, at=109.0, attempt=2))))
    assert isinstance(resumed, TrainingResumed)
    assert resumed.seconds_lost == 8.5
    assert resumed.resume_step == 3
    assert not only(TrainingResumed, story.steps_taken((a_row(5, at=110.0, attempt=2),)))


def test_a_group_that_dies_before_its_first_step_makes_the_same_outage_longer() -> None:
    story = a_story()
    start(story)
    story.steps_taken((a_row(4, at=100.0),))
    story.group_lost(a_loss(1, last_step=4, at=100.0))
    start(story, attempt=2, resume_step=3)
    story.group_lost(a_loss(2, last_step=2, at=105.0))
    start(story, attempt=3, resume_step=3)
    [resumed] = only(TrainingResumed, story.steps_taken((a_row(3, at=112.0, attempt=3),)))
    assert isinstance(resumed, TrainingResumed)
    assert resumed.seconds_lost == 12.0


def test_the_first_start_of_a_run_resumes_nothing() -> None:
    story = a_story()
    assert story.opening() == []
    start(story)
    assert not only(TrainingResumed, story.steps_taken((a_row(0, at=100.0),)))


def test_a_checkpoint_is_told_once_whoever_finds_it_again() -> None:
    first = a_story(epoch=7)
    told = first.checkpoint_saved(*a_checkpoint(10))
    assert [type(message) for message, _ in told] == [CheckpointSaved, StepsCommitted]
    assert first.checkpoint_saved(*a_checkpoint(10)) == []
    second = a_story(past_of([(message, 1.0) for message, _ in told]), epoch=9)
    assert second.checkpoint_saved(*a_checkpoint(10)) == []


def test_rows_that_died_with_a_worker_are_told_from_a_checkpoint_that_nobody_announced() -> None:
    rows = tuple(a_row(step, at=100.0 + step) for step in range(450))
    story = a_story()
    told = story.checkpoint_saved(*a_checkpoint(450), rows)
    assert [row for message, _ in told if isinstance(message, StepMetricsBatch) for row in message.rows] == list(rows)
    assert len({key for _, key in told}) == len(told) == 5
    assert story.checkpoint_saved(*a_checkpoint(450), rows) == []


def test_a_commit_that_was_lost_between_checkpoint_and_ledger_event_is_told_later() -> None:
    saved, committed = a_checkpoint(10)
    successor = a_story(past_of([(saved, 1.0)]), epoch=9)
    assert [message for message, _ in successor.checkpoint_saved(saved, committed)] == [committed]


def test_a_successor_tells_the_end_of_a_service_that_vanished_and_what_it_cost() -> None:
    vanished = a_story(epoch=7)
    started = start(vanished)[0][0]
    progress = only(TrainingProgressed, vanished.steps_taken((a_row(5, at=50.0),)))[0]
    past = past_of([(started, 40.0), (progress, 50.0)])
    successor = a_story(past, epoch=9)
    [(interrupted, _)] = successor.opening()
    assert isinstance(interrupted, TrainingInterrupted)
    assert (interrupted.epoch, interrupted.cause, interrupted.last_step) == (7, "service_lost", 5)
    start(successor, attempt=past.last_attempt + 1, resume_step=3)
    [resumed] = only(TrainingResumed, successor.steps_taken((a_row(3, at=71.0, attempt=2),)))
    assert isinstance(resumed, TrainingResumed)
    assert resumed.seconds_lost == 21.0


def test_what_a_vanished_service_lost_is_told_by_its_newest_sign_and_its_newest_checkpoint() -> None:
    started, progress = start(a_story())[0][0], a_story().steps_taken((a_row(11, at=58.0),))[-1][0]
    saved = a_checkpoint(10)[0]
    [(lost, _)] = a_story(past_of([(started, 40.0), (saved, 50.0), (progress, 58.0)])).opening()
    assert isinstance(lost, TrainingInterrupted)
    assert (lost.last_step, lost.seconds_lost, lost.checkpoint_id) == (11, 8.0, saved.checkpoint_id)
    [(lost, _)] = a_story(past_of([(started, 40.0), (progress, 48.0), (a_checkpoint(20)[0], 50.0)])).opening()
    assert isinstance(lost, TrainingInterrupted)
    assert (lost.last_step, lost.seconds_lost) == (19, 0.0)


def test_a_successor_of_a_loss_that_was_told_does_not_tell_it_again() -> None:
    story = a_story()
    events = [start(story)[0][0], story.group_lost(a_loss(1, last_step=-1, at=41.0))[0][0]]
    past = past_of([(event, 40.0 + place) for place, event in enumerate(events)])
    assert a_story(past, epoch=9).opening() == []
    assert past.last_attempt == 1


def test_a_step_that_cannot_be_saved_again_and_again_is_told_each_time() -> None:
    story = a_story()
    failed = CheckpointSaveFailed(run_id="r", checkpoint_id="r-7-10", epoch=7, step=10, reason="the disk is full")
    told = [*story.save_failed(1, failed), *story.save_failed(1, failed)]
    assert [message for message, _ in told] == [failed, failed]
    assert len({key for _, key in told}) == 2


def test_a_look_that_is_repeated_after_going_back_is_told_again() -> None:
    story = a_story()
    look = TrainingValidated(run_id="r", epoch=7, step=20, loss=2.0, best_step=20, best_loss=2.0, num_tokens=64)
    back = TrainingRolledBack(
        run_id="r", epoch=7, attempt=1, step=25, resume_step=10, checkpoint_id="r-7-10", reason="a weight was NaN"
    )
    told = [*story.happened(1, look), *story.happened(1, back), *story.happened(1, look)]
    assert len({key for _, key in told}) == 3
