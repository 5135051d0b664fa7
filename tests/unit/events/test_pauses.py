"""Whether a run may be paused or resumed follows from its events alone."""

import pytest

from ropewalk.events.pauses import standing_of
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunPaused,
    RunResumed,
    StageCompleted,
    StageQueued,
    StageStarted,
)

ACCEPTED = RunAccepted(run_id="r", recipe={}, recipe_sha256="h", deadline_unix=1000.0)
SEARCH = StageStarted(run_id="r", stage="search", epoch=1)
QUEUED = StageQueued(run_id="r", stage="train", pool="p", cpus=1.0)
TRAINING = StageStarted(run_id="r", stage="train", epoch=1)
TRAINED = StageCompleted(run_id="r", stage="train", epoch=1, seconds=1.0)
PAUSED = RunPaused(run_id="r", stage="train", at_unix=100.0)
RESUMED = RunResumed(run_id="r", stage="train", deadline_unix=1050.0)
CANCELLED = RunCancelled(run_id="r", mode="now")


@pytest.mark.parametrize("events", [(ACCEPTED, QUEUED), (ACCEPTED, TRAINING), (ACCEPTED, TRAINING, PAUSED, RESUMED)])
def test_a_run_that_trains_or_waits_for_it_may_be_paused_and_has_nothing_to_resume(events):
    assert standing_of(events).why_not_pause() == ""
    assert standing_of(events).why_not_resume() == "is not paused: nothing is to be resumed"


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((), "does not train yet"),
        ((ACCEPTED, SEARCH), "does not train yet: only training can be paused"),
        ((ACCEPTED, TRAINING, PAUSED), "is paused already: `ropewalk resume`"),
        ((ACCEPTED, TRAINING, TRAINED), "has finished its training"),
        ((ACCEPTED, TRAINING, PAUSED, TRAINED), "has finished its training"),
        ((ACCEPTED, TRAINING, PAUSED, CANCELLED), "has ended (cancelled)"),
    ],
)
def test_any_other_run_is_not_paused_and_the_sentence_says_why(events, words):
    assert standing_of(events).why_not_pause().startswith(words)


def test_only_a_paused_run_is_resumed_and_not_once_it_has_ended():
    assert standing_of([ACCEPTED, TRAINING, PAUSED]).why_not_resume() == ""
    assert standing_of([ACCEPTED, TRAINING, PAUSED, RESUMED]).why_not_resume().startswith("is not paused")
    assert standing_of([ACCEPTED, TRAINING, PAUSED, CANCELLED]).why_not_resume().startswith("has ended (cancelled)")


def test_the_time_of_every_pause_is_added_to_the_deadline():
    assert standing_of([ACCEPTED, TRAINING, PAUSED]).deadline_after(150.0) == 1050.0
    again = RunPaused(run_id="r", stage="train", at_unix=200.0)
    assert standing_of([ACCEPTED, TRAINING, PAUSED, RESUMED, again]).deadline_after(230.0) == 1080.0
    assert standing_of([ACCEPTED.model_copy(update={"deadline_unix": 0.0}), PAUSED]).deadline_after(150.0) == 0.0
