import math
from datetime import UTC, datetime

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.events.envelope import Envelope
from ropewalk.events.monitoring import SignalsComputed, SignalState
from ropewalk.events.run import StageCompleted
from ropewalk.events.serving import RequestLogBatch
from ropewalk.events.training import StepMetrics, StepMetricsBatch
from ropewalk.monitor.domain.rows import (
    RowError,
    column_time,
    event_rows,
    request_rows,
    sample_of,
    signal_rows,
    train_step_rows,
)


def stored(message, *, sequence=7, time="2026-03-01T12:00:00.000Z"):
    envelope = Envelope(id=f"id-{sequence}", type=message.type_name(), source="/svc/test", time=time, run_id="run-1")
    return Stored(sequence, datetime(2026, 3, 1, 12, tzinfo=UTC), envelope, message)


def a_step(**fields):
    usual = {
        "time_unix": 1772366400.25,
        "attempt": 1,
        "step": 3,
        "loss": 2.5,
        "grad_norm": 1.0,
        "lr": 0.01,
        "tokens": 4096,
        "step_s": 0.5,
        "data_s": 0.1,
        "checkpoint_s": 0.0,
    }
    return StepMetrics(**(usual | fields))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-03-01T12:00:00.123Z", "2026-03-01 12:00:00.123"),
        ("2026-03-01T14:00:00+02:00", "2026-03-01 12:00:00.000"),
        ("2026-03-01T12:00:00.123456Z", "2026-03-01 12:00:00.123"),
    ],
)
def test_times_are_kept_in_utc_with_milliseconds(given, kept):
    assert column_time(given) == kept


@pytest.mark.parametrize("given", ["1772366400123", "yesterday", "", "2026-03-01T12:00:00", "9999-01-01T00:00:00Z"])
def test_a_time_that_would_land_in_another_century_is_refused(given):
    with pytest.raises(RowError, match="time is"):
        column_time(given)


def test_a_request_comes_back_from_its_row_as_it_was(traffic):
    [request] = traffic(1).python(1)
    rows = request_rows(stored(RequestLogBatch(run_id="run-1", rows=(request,))))
    [row] = rows.stored
    assert (row["sequence"], row["row"], row["message_id"]) == (7, 0, "id-7")
    sample = sample_of(row | {"time": datetime.fromisoformat(row["time"])})
    assert {name: getattr(sample, name) for name in sample.__slots__} == request.model_dump(include={*sample.__slots__})


def test_one_bad_row_of_a_message_is_set_aside_and_its_neighbours_are_kept(traffic):
    source = traffic(1)
    good, bad, big, last = source.python(4)
    bad = bad.model_copy(update={"time": "yesterday"})
    big = big.model_copy(update={"prompt_tokens": 2**70})
    rows = request_rows(stored(RequestLogBatch(run_id="run-1", rows=(good, bad, big, last))))
    assert [row["row"] for row in rows.stored] == [0, 3]
    assert [(rejected.row, rejected.reason.split(" ")[0]) for rejected in rows.rejected] == [
        (1, "time"),
        (2, "prompt_tokens"),
    ]
    assert bad.request_id in rows.rejected[0].body


def test_a_diverged_loss_is_stored_as_it_is():
    message = StepMetricsBatch(run_id="run-1", rows=(a_step(loss=math.nan), a_step(grad_norm=math.inf)))
    rows = train_step_rows(stored(message)).stored
    assert (rows[0]["loss"], rows[1]["grad_norm"]) == ("nan", "inf")
    assert (rows[0]["run_id"], rows[0]["time"]) == ("run-1", "2026-03-01 12:00:00.250")


def test_a_step_without_a_possible_time_is_set_aside():
    rows = train_step_rows(stored(StepMetricsBatch(run_id="run-1", rows=(a_step(time_unix=math.nan), a_step()))))
    assert len(rows.stored) == len(rows.rejected) == 1


def test_an_event_keeps_who_said_it_when_and_because_of_what():
    message = StageCompleted(run_id="run-1", stage="train", epoch=2, seconds=3.0, cpu_seconds=5.0)
    [row] = event_rows(stored(message)).stored
    assert (row["type"], row["run_id"], row["id"]) == ("run.stage_completed", "run-1", "id-7")
    assert StageCompleted.model_validate_json(row["body"]) == message


def test_an_event_with_an_unreadable_clock_takes_the_time_of_the_stream():
    message = StageCompleted(run_id="run-1", stage="train", epoch=2, seconds=3.0)
    [row] = event_rows(stored(message, time="five past noon")).stored
    assert row["time"] == "2026-03-01 12:00:00.000"


def test_texts_of_a_row_are_kept_as_long_as_somebody_may_want_to_read_them(traffic):
    [request] = traffic(1).python(1)
    absurd = dict.fromkeys(("request_id", "trace_id", "key_id", "model", "run_id", "checkpoint_id", "finish_reason"))
    huge = request.model_copy(update=dict.fromkeys(absurd, "n" * 400_000) | {"error": "e" * 400_000})
    [row] = request_rows(stored(RequestLogBatch(run_id="run-1", rows=(huge,)))).stored
    assert max(len(row[name]) for name in absurd) < 250
    assert row["model"].endswith("… (400,000 characters)")
    assert len(row["error"]) < 2_100
    [long] = request_rows(
        stored(RequestLogBatch(run_id="run-1", rows=(request.model_copy(update={"prompt": "p" * 900_000}),)))
    ).stored
    assert len(long["prompt"]) < 33_000


def test_what_is_set_aside_is_bounded_too(traffic):
    [request] = traffic(1).python(1)
    huge = request.model_copy(update={"time": "t" * 400_000, "prompt": "p" * 400_000})
    [rejected] = request_rows(stored(RequestLogBatch(run_id="run-1", rows=(huge,)))).rejected
    assert len(rejected.reason) < 700
    assert len(rejected.body) < 101_000


def test_states_of_signals_become_a_row_each():
    states = (
        SignalState(signal="latency", statistic=1.5, threshold=6e5),
        SignalState(signal="x", statistic=0, threshold=1),
    )
    told = SignalsComputed(
        run_id="run-1", model="m", model_version=2, num_requests=145, time="2026-03-01T12:00:00.000Z", signals=states
    )
    first, second = signal_rows(stored(told)).stored
    assert (first["model"], first["model_version"], first["num_requests"]) == ("m", 2, 145)
    assert (first["signal"], first["statistic"], second["signal"], second["row"]) == ("latency", 1.5, "x", 1)
