import json

import pytest

from ropewalk.events.monitoring import AlarmRaised, BaselineSealed, SignalsComputed
from ropewalk.monitor.domain.signals import MEANINGS, SIGNALS
from ropewalk.monitor.domain.watch import Watch, WatchPolicy

POLICY = WatchPolicy()


def a_watch():
    return Watch(model="python-stdlib", model_version=1, policy=POLICY)


def fold(watch, requests):
    return [told.message for request in requests for told in watch.observe_all([request])]


def of_type(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("language", ["german", "french", "english"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prose_among_code_is_found_within_60_requests_and_dated_within_15(traffic, language, seed):
    source, watch = traffic(seed), a_watch()
    ordinary = source.python(220)
    assert of_type(AlarmRaised, fold(watch, ordinary)) == []
    shifted = source.prose(language, 60)
    alarms = of_type(AlarmRaised, fold(watch, shifted))
    assert {alarm.signal for alarm in alarms} == {"prompt_novelty", "prompt_letters"}, "and nothing else has moved"
    times = [request.time for request in ordinary + shifted]
    for alarm in alarms:
        assert abs(times.index(alarm.changed_at) - 220) <= 15
        assert alarm.detected_at in times[220:]
        assert alarm.current_mean > alarm.baseline_mean
        assert alarm.signal in alarm.detail
        assert alarm.changed_at in alarm.detail


def test_prose_right_after_the_baseline_is_found_too(traffic):
    source, watch = traffic(4), a_watch()
    fold(watch, source.python(120))
    assert of_type(AlarmRaised, fold(watch, source.prose("german", 60)))


def test_ordinary_traffic_raises_no_alarm(traffic):
    for seed in range(5):
        assert of_type(AlarmRaised, fold(a_watch(), traffic(seed).python(600))) == []


@pytest.mark.parametrize(
    ("signal", "fields"),
    [
        ("error_rate", {"status": 500, "error": "backend gone"}),
        ("completion_logprob", {"logprob_mean": -3.5}),
        ("latency", {"latency_ms": 20_000.0, "completion_tokens": 30}),
    ],
)
def test_what_serving_does_worse_is_named(traffic, signal, fields):
    source, watch = traffic(6), a_watch()
    fold(watch, source.python(200))
    alarms = of_type(AlarmRaised, fold(watch, source.python(60, **fields)))
    assert [alarm.signal for alarm in alarms] == [signal]


def test_longer_prompts_are_named(traffic):
    source, watch = traffic(7), a_watch()
    fold(watch, source.python(200))
    long = [
        source.request(a.prompt + b.prompt + c.prompt) for a, b, c in zip(*[iter(source.python(180))] * 3, strict=True)
    ]
    alarms = of_type(AlarmRaised, fold(watch, long))
    assert "prompt_length" in {alarm.signal for alarm in alarms}


def test_a_baseline_is_sealed_by_the_successes_and_counts_the_failures(traffic):
    source, watch = traffic(1), a_watch()
    assert fold(watch, source.python(119)) == []
    assert fold(watch, source.python(5, status=503, error="overloaded", completion_tokens=0)) == []
    [sealed] = fold(watch, source.python(1))
    assert isinstance(sealed, BaselineSealed)
    assert (sealed.num_requests, sealed.model_version, sealed.run_id) == (125, 1, "run-1")
    assert set(sealed.signals) == set(SIGNALS) == set(MEANINGS)


def test_signals_are_told_every_25_requests_with_the_promised_threshold(traffic):
    source, watch = traffic(1), a_watch()
    fold(watch, source.python(120))
    assert fold(watch, source.python(24)) == []
    told = fold(watch, source.python(1))
    [states] = of_type(SignalsComputed, told)
    assert [state.signal for state in states.signals] == list(SIGNALS)
    assert states.num_requests == 145
    assert {state.threshold for state in states.signals} == {len(SIGNALS) / POLICY.false_alarms_per_request}


def test_a_signal_alarms_once(traffic):
    source, watch = traffic(2), a_watch()
    fold(watch, source.python(150))
    alarms = of_type(AlarmRaised, fold(watch, source.prose("german", 300)))
    names = [alarm.signal for alarm in alarms]
    assert len(names) == len(set(names))


def test_the_stacks_own_requests_are_left_out(traffic):
    source, watch = traffic(1), a_watch()
    assert fold(watch, source.python(300, key_id="internal")) == []
    assert watch.num_requests == 0


@pytest.mark.parametrize("cut", [60, 120, 121, 190, 245])
def test_continuing_from_a_snapshot_is_the_same_as_never_stopping(traffic, as_json, cut):
    source = traffic(3)
    requests = source.python(200) + source.prose("french", 60)
    whole, first = a_watch(), a_watch()
    expected = fold(whole, requests)
    said = fold(first, requests[:cut])
    second = Watch.restore("python-stdlib", 1, POLICY, json.loads(as_json(first.state())))
    assert said + fold(second, requests[cut:]) == expected
    assert as_json(second.state()) == as_json(whole.state())


def test_requests_without_tokens_or_prompts_do_not_stop_the_watch(traffic):
    source, watch = traffic(1), a_watch()
    odd = [source.request("", completion_tokens=0), source.request("x", logprob_mean=float("-inf"))]
    fold(watch, odd + source.python(120))
    fold(watch, odd)
    assert watch.signals
