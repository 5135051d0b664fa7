"""The watch over stored requests: the same alarms live, after a restart, and from nothing but the table."""

import json

from ropewalk.events.monitoring import AlarmRaised, BaselineSealed, SignalComputed
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.domain.watch import Watch, WatchPolicy

POLICY = WatchPolicy()


def traffic(make, **fields):
    return [make.request(n, shifted=n >= 200, **fields) for n in range(260)]


def alarms_of(facts):
    return [message for message in facts.published.values() if isinstance(message, AlarmRaised)]


async def watched(store, facts, items, *, size=4):
    """A watcher that lives from the first item to the last."""
    watcher = Watcher(store, facts, POLICY)
    await watcher.restore()
    sink = Sink(store, REQUESTS, after=watcher.advance)
    for start in range(0, len(items), size):
        await sink.take(items[start : start + size])
    return watcher


async def test_shifted_traffic_raises_an_alarm_that_names_signal_and_time(store, make):
    facts = make.Facts()
    await watched(store, facts, make.packed(traffic(make), size=5))
    kinds = [type(message) for message in facts.published.values()]
    assert kinds.count(BaselineSealed) == 1
    assert kinds.count(SignalComputed) == (260 - 120) // 25 * 6
    found = {alarm.signal: alarm for alarm in alarms_of(facts)}
    assert "prompt_novelty" in found
    changed = [make.request(n).time for n in range(185, 216)]
    assert found["prompt_novelty"].changed_at in changed


async def test_what_is_said_does_not_depend_on_how_rows_were_batched(store, make):
    facts = make.Facts()
    watcher = await watched(store, facts, make.packed(traffic(make), size=7), size=3)
    batch = Watch(model="python-stdlib", model_version=1, policy=POLICY)
    expected = [event for request in traffic(make) for event in batch.observe(request)]
    assert list(facts.published.values()) == expected
    assert json.dumps(watcher.state()["python-stdlib@1"]) == json.dumps(batch.state())


async def test_a_restart_in_the_middle_gives_the_same_state_and_says_nothing_twice(open_store, make):
    items = make.packed(traffic(make), size=5)
    facts = make.Facts()
    first = await open_store()
    await watched(first, facts, items[:43])
    await first.close()
    said = facts.attempts
    second = await open_store()
    watcher = await watched(second, facts, items[43:])
    batch = Watch(model="python-stdlib", model_version=1, policy=POLICY)
    expected = [event for request in traffic(make) for event in batch.observe(request)]
    assert list(facts.published.values()) == expected
    assert facts.attempts == len(expected) > said
    assert json.dumps(watcher.state()["python-stdlib@1"]) == json.dumps(batch.state())
    await second.close()


async def test_a_crash_between_storing_and_saying_is_made_good_at_the_next_start(store, make):
    items = make.packed(traffic(make), size=5)
    await Sink(store, REQUESTS).take(items)
    facts = make.Facts()
    await Watcher(store, facts, POLICY).restore()
    assert "prompt_novelty" in {alarm.signal for alarm in alarms_of(facts)}


async def test_without_snapshots_the_watch_is_built_from_the_table_and_repeats_nothing(store, make):
    facts = make.Facts()
    watcher = await watched(store, facts, make.packed(traffic(make), size=5))
    state, said = json.dumps(watcher.state()), facts.attempts
    await store.command("TRUNCATE TABLE ropewalk.watch_state")
    rebuilt = Watcher(store, facts, POLICY)
    await rebuilt.restore()
    assert json.dumps(rebuilt.state()) == state
    assert facts.attempts == said


async def test_versions_are_watched_apart_and_internal_requests_not_at_all(store, make):
    facts = make.Facts()
    other = [make.request(n, model_version=2) for n in range(260)]
    internal = [make.request(n, key_id="internal", shifted=True, model_version=2) for n in range(200)]
    mixed = [request for pair in zip(traffic(make), other, strict=True) for request in pair]
    await watched(store, facts, make.packed(internal + mixed, size=20))
    assert {alarm.model_version for alarm in alarms_of(facts)} == {1}
    sealed = [message for message in facts.published.values() if isinstance(message, BaselineSealed)]
    assert {(event.model_version, event.num_requests) for event in sealed} == {(1, 120), (2, 120)}
