"""What was stored and what was watched goes on when the engine is closed and its folder opened again."""

import json

from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.domain.watch import Watch, WatchPolicy


async def test_what_was_stored_is_there_after_the_engine_was_closed_and_opened(open_store, make):
    first = await open_store()
    await Sink(first, REQUESTS).take(make.packed([make.request(n) for n in range(9)], size=3))
    await first.close()
    second = await open_store()
    rows = await second.query("SELECT request_id FROM ropewalk.request ORDER BY time")
    assert [row["request_id"] for row in rows] == [f"request-{number}" for number in range(9)]
    await second.close()


async def test_a_restart_in_the_middle_gives_the_same_state_and_says_nothing_twice(open_store, make):
    requests = [make.request(n, shifted=n >= 200) for n in range(260)]
    items = make.packed(requests, size=5)
    facts, attempts, watcher = make.Facts(), [], None
    for part in (items[:43], items[43:]):
        store = await open_store()
        watcher = Watcher(store, facts, WatchPolicy())
        await watcher.restore()
        sink = Sink(store, REQUESTS, after=watcher.advance)
        for start in range(0, len(part), 4):
            await sink.take(part[start : start + 4])
        await store.close()
        attempts.append(facts.attempts)
    batch = Watch(model="python-stdlib", model_version=1, policy=WatchPolicy())
    expected = [told.message for request in requests for told in batch.observe_all([request])]
    assert list(facts.published.values()) == expected
    assert attempts[0] < attempts[1] == sum(event.plane == "evt" for event in expected)
    assert json.dumps(watcher.state()["python-stdlib@1"]) == json.dumps(batch.state())
