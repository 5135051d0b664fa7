"""Losses in, suspected steps out; and children that really die of a sample."""

import os
import signal

import pytest

from ropewalk.trainer.adapters.poison import deadly
from ropewalk.trainer.domain.poison import Suspect, named, suspects
from ropewalk.trainer.domain.recovery import AttemptCause, Loss, PostMortem


def a_loss(
    step: int, *, cause: AttemptCause = "crashed", phase: str = "step", rank: int = 1, done: int | None = None
) -> Loss:
    """Rank `rank` died in `step`; the last metrics that arrived were of the step before, or of `done` - 1."""
    return Loss(
        attempt=1,
        cause=cause,
        detail="killed by SIGSEGV",
        start_step=0,
        last_step=(step if done is None else done) - 1,
        time_unix=0.0,
        found=PostMortem(ranks=(rank,), phase=phase, last_steps=(step, step)),
    )


def test_one_death_makes_nothing_suspicious() -> None:
    assert suspects([a_loss(7)]) == ()


@pytest.mark.parametrize("cause", ["crashed", "out_of_memory", "worker_lost"])
def test_two_deaths_in_the_same_step_make_it_suspicious_whichever_rank_has_its_samples(cause: AttemptCause) -> None:
    losses = [a_loss(7, cause=cause, done=2), a_loss(7, cause=cause, rank=0, done=5)]
    assert suspects(losses) == (Suspect(7, whole=False),)


def test_random_kills_in_different_steps_make_nothing_suspicious() -> None:
    assert suspects([a_loss(7), a_loss(6), a_loss(9), a_loss(3)]) == ()


def test_who_came_beyond_a_step_shows_that_its_batch_is_harmless() -> None:
    assert suspects([a_loss(7), a_loss(9), a_loss(7)]) == ()
    assert suspects([a_loss(7), a_loss(5), a_loss(7)]) == (Suspect(7, whole=False),)


def test_deaths_beside_a_batch_are_none_of_its_doing() -> None:
    assert suspects([a_loss(7, phase="save"), a_loss(7, phase="save")]) == ()
    assert suspects([a_loss(7, cause="hang"), a_loss(7, cause="hang")]) == ()


def test_a_suspected_step_remains_so_after_others_came_beyond_it() -> None:
    assert suspects([a_loss(7), a_loss(7), a_loss(40)]) == (Suspect(7, whole=False),)


def test_if_trying_the_samples_one_by_one_did_not_help_the_whole_step_is_left_out() -> None:
    assert suspects([a_loss(7), a_loss(7), a_loss(7)]) == (Suspect(7, whole=True),)


def test_the_loss_that_shows_the_poison_is_called_so_and_those_around_it_keep_their_cause() -> None:
    first = named([], a_loss(7))
    second = named([first], a_loss(7))
    third = named([first, second], a_loss(7))
    assert [loss.cause for loss in (first, second, third)] == ["crashed", "poison", "crashed"]
    assert second.detail == "a worker died twice in step 7, which points to its batch: killed by SIGSEGV"


def test_children_find_every_sample_that_ends_a_process_and_this_one_lives() -> None:
    def learn(sample: int) -> None:
        if sample == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if sample == 5:
            raise MemoryError
        if sample == 8:
            os.abort()
        if sample == 6:
            raise ValueError("no death, so not what is looked for")

    assert deadly(range(10), learn) == [3, 5, 8]


def test_what_takes_too_long_is_not_called_deadly() -> None:
    assert deadly([1, 2], lambda _: signal.pause(), patience_s=0.2) == []
