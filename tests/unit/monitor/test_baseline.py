"""A model version before it has a baseline: whatever it does, the watch over it stays small."""

import json
import time

import pytest

from ropewalk.events.monitoring import AlarmCleared, AlarmRaised, BaselineSealed
from ropewalk.monitor.domain.watch import Watch, WatchPolicy

POLICY = WatchPolicy()
FAILED = {"status": 503, "error": "overloaded", "completion_tokens": 0}


def a_watch():
    return Watch(model="python-stdlib", model_version=1, policy=POLICY)


def told(watch, requests):
    return [told.message for told in watch.observe_all(requests)]


def seconds_for(watch, requests):
    began = time.process_time()
    watch.observe_all(requests)
    return time.process_time() - began


@pytest.mark.parametrize("statuses", [(503,), (499,), (503, 503, 503, 503, 503, 200), (429, 500, 499)])
def test_a_model_that_fails_from_its_first_request_costs_the_same_however_long_it_does(traffic, as_json, statuses):
    source, watch = traffic(1), a_watch()
    requests = [
        source.request("def f(x):" * 20, **FAILED | {"status": each}) for each in statuses * (2_000 // len(statuses))
    ]
    first = seconds_for(watch, requests)
    size = len(as_json(watch.state()))
    for _ in range(4):
        last = seconds_for(watch, requests)
    assert len(as_json(watch.state())) <= size + 100
    assert last < 3 * first + 0.1, "the old way took 9 times as long"
    assert len(watch.baseline.kept) <= watch.baseline.room


def test_a_model_that_never_gets_a_baseline_is_an_alarm_that_clears_when_it_does(traffic):
    source, watch = traffic(2), a_watch()
    assert told(watch, source.python(479, **FAILED)) == []
    [alarm] = told(watch, source.python(1_000, **FAILED))
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.alarm_id, alarm.signal, alarm.number) == ("python-stdlib-1-baseline-1", "baseline", 1)
    assert "100% of the first 480 requests" in alarm.detail
    cleared, sealed = [event for event in told(watch, source.python(200)) if event.plane == "evt"]
    assert isinstance(cleared, AlarmCleared)
    assert cleared.alarm_id == alarm.alarm_id
    assert isinstance(sealed, BaselineSealed)
    assert sealed.num_requests == 120, "what failed before the first success is no part of it"
    assert "latency" in sealed.signals


def test_a_new_baseline_ends_the_alarm_that_there_is_none(traffic):
    source, watch = traffic(3), a_watch()
    told(watch, source.python(500, **FAILED))
    [cleared] = watch.rebaseline("run-1", "", "rebaselined by ann", "2026-03-02T00:00:00.000Z")
    assert cleared.alarm_id == "python-stdlib-1-baseline-1"
    assert watch.rebaseline("run-1", "", "again", "2026-03-02T00:00:00.000Z") == []


def test_a_baseline_with_many_failures_in_it_still_watches_what_successes_show(traffic):
    source, watch = traffic(4), a_watch()
    for _ in range(40):
        told(watch, source.python(5, **FAILED))
        told(watch, source.python(3))
    assert {"latency", "completion_logprob", "error_rate"} <= watch.signals.keys()


def test_long_prompts_are_kept_by_their_end_only(traffic):
    source, watch = traffic(5), a_watch()
    told(watch, [source.request("x" * 32_000) for _ in range(119)])
    assert len(json.dumps(watch.state())) < 119 * 4_500


@pytest.mark.parametrize("size", [1, 13, 479, 480, 481])
def test_gathering_does_not_depend_on_how_rows_come(traffic, as_json, size):
    source = traffic(6)
    requests = source.python(490, **FAILED) + source.python(150)
    whole, parts = a_watch(), a_watch()
    expected = told(whole, requests)
    said = []
    for start in range(0, len(requests), size):
        said += told(parts, requests[start : start + size])
        parts = Watch.restore("python-stdlib", 1, POLICY, json.loads(as_json(parts.state())))
    assert said == expected
    assert as_json(parts.state()) == as_json(whole.state())


def test_a_snapshot_of_an_older_monitor_begins_a_new_baseline_and_its_alarms_count_on(traffic):
    old = {
        "num_requests": 500,
        "num_baseline": 120,
        "gathered": [],
        "prompts": "",
        "detectors": {"latency": {"alarmed": True}, "error_rate": {"alarmed": False}},
    }
    watch = Watch.restore("python-stdlib", 1, POLICY, old)
    assert (watch.num_requests, watch.numbers) == (500, {"latency": 1})
    assert [type(event) for event in told(watch, traffic(7).python(120))] == [BaselineSealed]


def test_numbers_that_are_none_move_nothing(traffic):
    source, watch = traffic(8), a_watch()
    odd = [
        {"latency_ms": float("nan")},
        {"latency_ms": -5.0},
        {"latency_ms": float("inf")},
        {"logprob_mean": float("-inf")},
        {"completion_tokens": -3},
        {"status": -1},
        {"prompt": "\ud800", "request_id": "\udfff"},
        {"time": "2199-12-31T23:59:59.999Z"},
    ]
    for fields in odd * 30:
        watch.observe_all([source.python(1)[0].model_copy(update=fields)])
    watch.observe_all(source.python(300))
    for fields in odd * 30:
        watch.observe_all([source.python(1)[0].model_copy(update=fields)])
    assert json.loads(json.dumps(watch.state())) is not None
    assert all(signal.detector.statistic == signal.detector.statistic for signal in watch.signals.values())
