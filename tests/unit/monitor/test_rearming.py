"""What becomes of a signal after its first alarm."""

import json

import numpy as np
import pytest

from ropewalk.events.monitoring import AlarmCleared, AlarmRaised, BaselineSealed
from ropewalk.monitor.domain.agreement import agree
from ropewalk.monitor.domain.rearming import Moved, Returned, Signal
from ropewalk.monitor.domain.watch import Watch, WatchPolicy

POLICY = WatchPolicy()
WAIT = 120


def a_watch():
    return Watch(model="python-stdlib", model_version=1, policy=POLICY)


def a_signal(rng, threshold=6e5):
    return Signal.sealed(rng.normal(size=60).tolist(), rng.normal(size=60).tolist(), threshold, WAIT)


def run(signal, values, rng):
    """Findings with the number of the value that showed each."""
    times = [str(number) for number in range(len(values))]
    return list(signal.observe_all(np.asarray(values), times, rng.random(len(values))))


def alarms_of(watch, requests, signal="latency"):
    told = [told.message for told in watch.observe_all(requests)]
    return [event for event in told if isinstance(event, AlarmRaised | AlarmCleared) and event.signal == signal]


def slowed(source, count, factor):
    return [request.model_copy(update={"latency_ms": factor * request.latency_ms}) for request in source.python(count)]


@pytest.mark.parametrize("between", [60, 150, 300, 2_000])
def test_latency_that_is_25_times_as_high_after_it_has_doubled_is_a_second_alarm(traffic, between):
    source, watch = traffic(9), a_watch()
    watch.observe_all(source.python(200))
    [first] = alarms_of(watch, slowed(source, between, 2))
    cleared, second = alarms_of(watch, slowed(source, 400, 50))
    assert (first.number, second.number) == (1, 2)
    assert (first.alarm_id, second.alarm_id) == ("python-stdlib-1-latency-1", "python-stdlib-1-latency-2")
    assert (cleared.alarm_id, cleared.reason) == (first.alarm_id, "alarm 2 of latency takes its place")
    assert second.current_mean > first.current_mean > first.baseline_mean
    assert "since" in second.detail


def test_a_signal_that_returns_clears_its_alarm_and_raises_none(traffic):
    source, watch = traffic(10), a_watch()
    watch.observe_all(source.python(200))
    [alarm] = alarms_of(watch, slowed(source, 400, 4))
    [cleared] = alarms_of(watch, source.python(400))
    assert (cleared.alarm_id, cleared.model_version, cleared.signal) == (alarm.alarm_id, 1, "latency")
    assert "returned to its baseline" in cleared.reason
    [again] = alarms_of(watch, slowed(source, 100, 4))
    assert again.number == 2


def test_errors_that_stop_clear_their_alarm_and_come_again_with_the_next_number(traffic):
    source, watch = traffic(11), a_watch()
    failing = {"status": 503, "error": "overloaded", "completion_tokens": 0}
    watch.observe_all(source.python(200))
    told = [*alarms_of(watch, source.python(200, **failing), "error_rate")]
    told += alarms_of(watch, source.python(1_500), "error_rate")
    told += alarms_of(watch, source.python(200, **failing), "error_rate")
    assert [(type(event), event.alarm_id[-1]) for event in told] == [
        (AlarmRaised, "1"),
        (AlarmCleared, "1"),
        (AlarmRaised, "2"),
    ]


def test_a_lasting_change_is_said_once():
    rng = np.random.default_rng(1)
    signal = a_signal(rng)
    found = run(signal, np.concatenate([rng.normal(size=300), rng.normal(3.0, 1.0, size=20_000)]), rng)
    assert [type(finding) for finding in found] == [Moved]
    assert signal.is_open
    assert not signal.settling, "it is armed on the new level"


def test_a_change_during_the_wait_is_said_when_it_is_over():
    rng = np.random.default_rng(2)
    signal = a_signal(rng)
    stream = [rng.normal(size=300), rng.normal(3.0, 1.0, size=60), rng.normal(30.0, 1.0, size=600)]
    _, second = run(signal, np.concatenate(stream), rng)
    assert isinstance(second, Moved)
    assert second.instead
    assert second.change.mean == pytest.approx(30.0, abs=0.5)
    assert second.reference_mean == pytest.approx(3.0, abs=1.0)


def test_a_blip_shorter_than_the_wait_is_an_alarm_that_clears():
    rng = np.random.default_rng(3)
    found = run(
        a_signal(rng), np.concatenate([rng.normal(size=300), rng.normal(5.0, 1.0, 30), rng.normal(size=400)]), rng
    )
    assert [type(finding) for finding in found] == [Moved, Returned]


def test_a_signal_that_never_rests_says_less_and_less():
    rng = np.random.default_rng(4)
    levels = np.repeat(rng.permutation(1_000) * 10.0, 200)  # a new level every 200 values
    signal = a_signal(rng)
    found = run(signal, levels + rng.normal(size=len(levels)), rng)
    assert 8 <= len(found) <= 30
    assert len(json.dumps(signal.state())) < 60_000


def test_a_signal_that_alternates_is_said_a_bounded_number_of_times_per_request():
    rng = np.random.default_rng(5)
    levels = np.tile(np.repeat([0.0, 5.0], 400), 250)  # there and back, 200,000 values
    found = run(a_signal(rng), levels + rng.normal(size=len(levels)), rng)
    assert len(found) <= 40


def test_no_law_alarms_oftener_after_it_was_armed_again():
    """Two standard levels, one change: of 200 streams next to none may say more than the change."""
    more = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        signal = a_signal(rng, threshold=1e5)
        found = run(signal, np.concatenate([rng.normal(size=100), rng.normal(4.0, 1.0, size=1_000)]), rng)
        more += len(found) > 1
    assert more <= 200 * 1_000 / 1e5 + 6


def test_how_values_are_cut_into_blocks_changes_no_bit(as_json):
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.normal(size=300), rng.normal(3.0, 1.0, 500), rng.normal(size=700)])
    uniforms, times = rng.random(len(values)), [str(number) for number in range(len(values))]
    states = []
    for size in (1, 7, 25, 1_000, len(values)):
        signal = a_signal(np.random.default_rng(7))
        found = []
        for start in range(0, len(values), size):
            cut = slice(start, start + size)
            found += [
                (start + each.at, type(each)) for each in signal.observe_all(values[cut], times[cut], uniforms[cut])
            ]
            signal = Signal.restore(json.loads(as_json(signal.state())))
        states.append((as_json(signal.state()), found))
    assert all(state == states[0] for state in states)


def test_a_watch_may_be_given_any_number_of_requests_at_once(traffic, as_json):
    requests = traffic(3).python(300) + traffic(4).prose("german", 100)
    one, other = a_watch(), a_watch()
    told = [said.message for request in requests for said in one.observe_all([request])]
    assert [each.message for each in other.observe_all(requests)] == told
    assert as_json(one.state()) == as_json(other.state())


def test_a_new_baseline_clears_what_is_open_and_is_taken_from_the_next_requests(traffic):
    source, watch = traffic(12), a_watch()
    watch.observe_all(source.python(200))
    [alarm] = alarms_of(watch, slowed(source, 200, 4))
    [cleared] = watch.rebaseline("run-1", "", "rebaselined by ann: new machine", "2026-03-02T00:00:00.000Z")
    assert (cleared.alarm_id, cleared.reason) == (alarm.alarm_id, "rebaselined by ann: new machine")
    told = [told.message for told in watch.observe_all(slowed(source, 400, 4))]
    assert [type(event) for event in told if event.plane == "evt"] == [BaselineSealed]
    [again] = alarms_of(watch, slowed(source, 100, 40))
    assert again.number == 2, "numbers go on"


def test_one_signal_may_get_a_new_baseline_and_the_others_stay(traffic):
    source, watch = traffic(13), a_watch()
    watch.observe_all(source.python(200))
    alarms_of(watch, slowed(source, 200, 4))
    others = {name: signal.baseline_mean for name, signal in watch.signals.items() if name != "latency"}
    [cleared] = watch.rebaseline("run-1", "latency", "as it is now", "2026-03-02T00:00:00.000Z")
    assert cleared.signal == "latency"
    assert alarms_of(watch, slowed(source, 400, 4)) == []
    assert {name: signal.baseline_mean for name, signal in watch.signals.items() if name != "latency"} == others
    [back] = alarms_of(watch, source.python(300))
    assert isinstance(back, AlarmRaised), "the old level is a change now"
    with pytest.raises(KeyError):
        watch.rebaseline("run-1", "happiness", "", "")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0] * 50, [1.0] * 50, True),
        ([0.0] * 100, [0.0] * 60 + [1.0] * 40, False),
        ([], [1.0], True),
        ([1.0], [], True),
        ([2.0], [3.0], True),
    ],
)
def test_samples_agree_unless_their_ranks_speak_against_it(one, other, expected):
    assert agree(np.array(one), np.array(other)) is expected


def test_agreement_errs_as_rarely_as_promised_and_sees_location_and_spread():
    rng = np.random.default_rng(8)
    same = [agree(rng.normal(size=120), rng.normal(size=40)) for _ in range(2_000)]
    assert same.count(False) <= 3
    assert not agree(rng.normal(size=120), rng.normal(2.0, 1.0, size=20))
    assert not agree(rng.normal(size=120), rng.normal(0.0, 6.0, size=60))


def test_a_signal_that_never_changes_raises_no_alarm_however_the_dice_fall():
    """With a threshold that the dice reach every few hundred values."""
    rng = np.random.default_rng(9)
    signal = Signal.sealed([0.0] * 60, [0.0] * 60, 300.0, WAIT)
    assert run(signal, np.zeros(20_000), rng) == []
    assert signal.detector.num_observed < 20_000 - 120, "the dice did reach it"
    [moved] = run(signal, np.array([0.0, 1.0] * 100), rng)
    assert isinstance(moved, Moved)
