"""The watch over stored requests: the same alarms live, after a restart, and from nothing but the table."""

import json

from ropewalk.events.monitoring import AlarmRaised, BaselineSealed, SignalsComputed
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.domain.watch import Watch, WatchPolicy
from ropewalk.monitor.errors import StoreUnavailableError

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
    assert kinds.count(SignalsComputed) == (260 - 120) // 25
    found = {alarm.signal: alarm for alarm in alarms_of(facts)}
    assert "prompt_novelty" in found
    changed = [make.request(n).time for n in range(185, 216)]
    assert found["prompt_novelty"].changed_at in changed


async def test_what_is_said_does_not_depend_on_how_rows_were_batched(store, make):
    facts = make.Facts()
    watcher = await watched(store, facts, make.packed(traffic(make), size=7), size=3)
    batch = Watch(model="python-stdlib", model_version=1, policy=POLICY)
    expected = [told.message for request in traffic(make) for told in batch.observe_all([request])]
    assert list(facts.published.values()) == expected
    assert json.dumps(watcher.state()["python-stdlib@1"]) == json.dumps(batch.state())


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


async def test_names_that_reached_no_model_are_rows_and_nothing_else(store, make):
    """A stranger may ask for as many models as there are words; each becomes a row of version 0."""
    facts = make.Facts()
    made_up = [
        make.request(n, model=f"made-up-{n}", model_version=0, run_id="unrouted", status=404) for n in range(500)
    ]
    odd = [
        make.request(500, model="n" * 300),
        make.request(501, run_id="Not A Run"),
        make.request(502, run_id=""),
        make.request(503, model_version=-1),
    ]
    watcher = await watched(store, facts, make.packed([*made_up, *odd], size=50))
    assert watcher.state() == {}
    assert facts.published == {}
    [count] = await store.query("SELECT count() AS rows FROM ropewalk.request")
    assert count["rows"] == 504


async def test_however_many_versions_there_are_a_bounded_number_is_in_memory(store, make):
    facts = make.Facts()
    busy = [make.request(n) for n in range(260)]
    crowd = [make.request(n, model=f"m{n}", model_version=1 + n % 3) for n in range(260)]
    mixed = [request for pair in zip(busy, crowd, strict=True) for request in pair]
    watcher = await watched(store, facts, make.packed(mixed, size=40))
    assert len(watcher.state()) <= 64
    assert watcher.state()["python-stdlib@1"]["num_requests"] == 260
    [snapshots] = await store.query("SELECT count() AS count FROM ropewalk.watch_state")
    assert snapshots["count"] < 10, "what has been seen once is not worth a snapshot"


async def test_a_version_that_rested_goes_on_where_it_was(store, make):
    facts = make.Facts()
    requests = traffic(make)
    crowd = [make.request(n, model=f"m{n}") for n in range(100)]
    await watched(store, facts, make.packed([*requests[:150], *crowd, *requests[150:]], size=10))
    alone = Watch(model="python-stdlib", model_version=1, policy=POLICY)
    expected = [told.message for request in requests for told in alone.observe_all([request])]
    assert list(facts.published.values()) == expected


async def test_a_store_that_fails_while_a_snapshot_is_written_counts_no_request_twice(store, make):
    class Failing:
        """The store, whose snapshots fail twice."""

        def __init__(self):
            self.failures = 2

        async def insert(self, table, rows, *, token=""):
            if table == "watch_state" and self.failures:
                self.failures -= 1
                raise StoreUnavailableError("busy")
            await store.insert(table, rows, token=token)

        def __getattr__(self, name):
            return getattr(store, name)

    facts = make.Facts()
    watcher = await watched(Failing(), facts, make.packed(traffic(make), size=5))
    alone = Watch(model="python-stdlib", model_version=1, policy=POLICY)
    expected = [told.message for request in traffic(make) for told in alone.observe_all([request])]
    assert list(facts.published.values()) == expected
    assert json.dumps(watcher.state()["python-stdlib@1"]) == json.dumps(alone.state())
