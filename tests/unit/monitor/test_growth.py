"""What grows with the traffic: nothing in memory, next to nothing on the log. The long way is benchmarks/soak.py."""

from datetime import UTC, datetime, timedelta

import pytest

from ropewalk.events.streams import STREAMS, stream_of
from ropewalk.monitor.domain.signals import MeasuredRequest
from ropewalk.monitor.domain.watch import Watch, WatchPolicy

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONTROL = next(spec for spec in STREAMS if spec.name == "CONTROL")
PER_S = 100


def a_day_of(requests, count, change=lambda number, sample: {}):
    """`count` requests at 100 a second, made of a few."""
    for number in range(count):
        like = requests[number * 7919 % len(requests)]
        time = (START + timedelta(seconds=number / PER_S)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {name: getattr(like, name) for name in MeasuredRequest.__slots__}
        yield MeasuredRequest(**fields | {"time": time, "request_id": str(number)} | change(number, like))


def flapping(number, like):
    """Everything that can move moves, every 300 requests."""
    if number // 300 % 2:
        return {"latency_ms": like.latency_ms * 8, "logprob_mean": -4.0, "prompt": "Ein Satz. " * 20}
    return {}


@pytest.mark.parametrize("change", [lambda number, like: {}, flapping], ids=["steady", "flapping"])
def test_what_30_000_requests_leave_on_the_log_is_within_the_share_of_ten_million(traffic, as_json, change):
    """1 % of CONTROL's limit for 10 million requests is 8.6 bytes a request; the old way left 142."""
    watch = Watch(model="python-stdlib", model_version=1, policy=WatchPolicy())
    samples = list(a_day_of(traffic(1).python(400), 30_000, change))
    told, sizes = [], []
    for start in range(0, len(samples), 5_000):
        told += [each.message for each in watch.observe_all(samples[start : start + 5_000])]
        sizes.append(len(as_json(watch.state())))
    by_stream = {"CONTROL": 0, "TEL": 0}
    for message in told:
        by_stream[stream_of(message.subject)] += len(message.model_dump_json()) + 400  # headers
    assert by_stream["CONTROL"] / len(samples) < 0.01 * CONTROL.max_bytes / 10_000_000
    assert by_stream["TEL"] / len(samples) < 2.0
    assert max(sizes) < 1.3 * sizes[1]


def test_the_log_never_drops_an_old_fact_and_its_mirror_has_a_bound():
    audit = next(spec for spec in STREAMS if spec.mirror_of)
    assert CONTROL.discard == "new"
    assert audit.max_bytes > CONTROL.max_bytes, "the mirror holds at least what the log holds"
    assert all(spec.max_bytes for spec in STREAMS)
