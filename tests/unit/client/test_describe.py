"""What an event says to a person, on one line."""

from string import Formatter

import pytest

from ropewalk.client.describe import SENTENCES, describe
from ropewalk.events.base import Message
from ropewalk.events.data import DatasetPublished, RecordQuarantined, SegmentCleaned
from ropewalk.events.monitoring import AlarmAcknowledged, AlarmCleared, Rebaseline
from ropewalk.events.training import TrainingCompleted, TrainingStarted


def test_what_was_set_aside_is_said_with_its_first_place() -> None:
    message = RecordQuarantined(
        run_id="r", source_id="s", reason="not_utf8", num_records=1200, examples=("a\n.txt: offset 3", "b"), uri="u"
    )
    assert describe(message) == "1,200 set aside: not_utf8; the first: a\\n.txt: offset 3"


def test_alarms_are_told_by_their_ids() -> None:
    noted = AlarmAcknowledged(run_id="r", alarm_id="code-1-latency-2", by="ann", note="new disk")
    assert describe(noted) == "code-1-latency-2: ann looks after it, new disk"
    cleared = AlarmCleared(run_id="r", alarm_id="code-1-latency-2", model="code", reason="it returned")
    assert describe(cleared) == "code-1-latency-2: it returned"
    assert describe(Rebaseline(run_id="r", model="code", model_version=1, reason="why")) == "code@1: why"


def test_conversations_that_lost_their_end_are_told_with_the_window_that_would_hold_them() -> None:
    where = {"dataset_version": "v", "uri": "", "tokenizer_uri": "", "evalset_uri": "", "dropped": {}}
    counts = {"num_inputs": 9, "num_kept": 8, "num_held_out": 1, "num_tokens": 2048, "num_windows": 8}
    whole = DatasetPublished(run_id="r", context_length=256, **counts, **where)
    assert describe(whole) == "2,048 tokens from 8 of 9 documents"
    assert describe(whole.model_copy(update={"num_cut": 3, "window_for_most": 704})) == (
        "2,048 tokens from 8 of 9 documents; 3 conversations are longer than the window of 256 tokens and lost the "
        "rest: `training: {context_length: 704}` would hold 99 % of all"
    )


def test_why_documents_were_dropped_is_said_in_plain_words_the_commonest_first() -> None:
    dropped = {"contaminated": 158, "exact_duplicate": 12, "near_duplicate": 3, "too_short": 2, "too_long": 1}
    cleaned = SegmentCleaned(run_id="r", segment_id="s", num_inputs=241, num_kept=55, num_held_out=10, dropped=dropped)
    assert describe(cleaned) == (
        "55 of 241 documents kept, 10 held out; dropped: 158 because they quote held-out ones, "
        "12 because they repeat others, 3 because they nearly repeat others, 3 for other reasons"
    )
    assert describe(cleaned.model_copy(update={"dropped": {}})) == "55 of 241 documents kept, 10 held out"
    odd = describe(cleaned.model_copy(update={"dropped": {"too_short": 2, "a\nb": 1}}))
    assert odd.endswith("held out; dropped: 2 too short, 1 a\\nb")


def test_a_training_that_ended_early_says_by_what_and_which_checkpoint_was_taken() -> None:
    completed = TrainingCompleted(
        run_id="r",
        checkpoint_id="r-1-315",
        uri="u",
        step=315,
        loss=2.0,
        tokens=9,
        seconds=1.0,
        stopped_by="patience: no better held-out loss for 6 looks",
        num_steps=405,
    )
    assert "ended early by patience: no better held-out loss for 6 looks; the best, step 315, was taken" in describe(
        completed
    )
    whole = completed.model_copy(update={"stopped_by": "", "num_steps": 315})
    assert describe(whole) == "step 315, loss 2.000, 9 tokens in 1 s"


def test_the_processes_of_a_training_are_named_up_to_a_bound() -> None:
    started = TrainingStarted.model_construct(
        num_parameters=10**6, device="", num_workers=2, strategy="ddp", resume_step=0, worker_pids=(31, 32)
    )
    assert describe(started) == "1.00 M parameters, 2 workers (pids 31 32), ddp on CPU, from the start"
    assert "(pids 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 …)" in describe(
        started.model_copy(update={"worker_pids": tuple(range(17))})
    )


@pytest.mark.parametrize("kind", SENTENCES, ids=lambda kind: kind.__name__)
def test_a_sentence_names_only_what_its_message_has(kind: type[Message]) -> None:
    named = [field for _, field, _, _ in Formatter().parse(SENTENCES[kind]) if field]
    assert named
    for field in named:
        owner, _, name = field.partition(".")
        assert owner == "m"
        assert name in kind.model_fields or isinstance(getattr(kind, name, None), property)
