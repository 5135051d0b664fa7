"""Runs the watches over the stored requests, in the order in which they were stored, and publishes what they say.

It reads only the table, live and after a restart alike, so there is one path. Every event's id is derived from the
message that brought the request, so whatever is folded again after a crash says nothing twice.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from ropewalk.events.base import Event
from ropewalk.events.envelope import derived_id
from ropewalk.events.monitoring import AlarmRaised, SignalComputed
from ropewalk.monitor.domain.rows import request_of
from ropewalk.monitor.domain.watch import Watch, WatchPolicy
from ropewalk.monitor.ports import Analytics, FactLog, Row

logger = logging.getLogger(__name__)

_BATCHES_PER_READ = 8
_EVENTS_AT_ONCE = 64
_ORDER = "ORDER BY arrival, sequence, row"
_OF_VERSION = "model = {model:String} AND model_version = {version:Int64} AND"


def _next_rows(only: str = "") -> str:
    """The rows of the next few batches. A batch is never split, so a place is just the number of a batch."""
    later = f"FROM ropewalk.request WHERE {only} arrival > {{after:UInt64}}"
    end = f"SELECT max(arrival) FROM (SELECT DISTINCT arrival {later} ORDER BY arrival LIMIT {_BATCHES_PER_READ})"
    return f"SELECT * {later} AND arrival <= ({end}) {_ORDER}"


@dataclass
class _Place:
    """A watch, and the batch of rows up to which it has seen them."""

    watch: Watch
    arrival: int


class Watcher:
    """All watches. Call `restore` once, then `advance` whenever rows were stored."""

    def __init__(self, store: Analytics, facts: FactLog, policy: WatchPolicy) -> None:
        self._store = store
        self._facts = facts
        self._policy = policy
        self._places: dict[tuple[str, int], _Place] = {}
        self._said: set[str] = set()
        self._arrival = 0

    async def restore(self) -> None:
        """Continue from the snapshots; what has been said already is read from the log."""
        self._said = {stored.envelope.id async for stored in self._facts.read("evt.monitoring.>")}
        for row in await self._store.query("SELECT * FROM ropewalk.watch_state FINAL"):
            key = row["model"], int(row["model_version"])
            watch = Watch.restore(*key, self._policy, json.loads(row["body"]))
            self._places[key] = _Place(watch, int(row["arrival"]))
        [end] = await self._store.query("SELECT max(arrival) AS arrival FROM ropewalk.request")
        for row in await self._store.query("SELECT DISTINCT model, model_version FROM ropewalk.request"):
            await self._catch_up(row["model"], int(row["model_version"]))
        self._arrival = int(end["arrival"])

    async def advance(self) -> None:
        """Fold in every row stored since."""
        while rows := await self._store.query(_next_rows(), {"after": self._arrival}):
            await self._fold(rows)
            self._arrival = int(rows[-1]["arrival"])

    def state(self) -> dict[str, dict[str, Any]]:
        """The state of every watch, by `model@version`."""
        return {f"{name}@{version}": place.watch.state() for (name, version), place in self._places.items()}

    async def _catch_up(self, model: str, version: int) -> None:
        """Fold in what one version has not seen. A version that is long out of service costs no reading."""
        after = self._place(model, version).arrival
        while rows := await self._store.query(
            _next_rows(_OF_VERSION), {"after": after, "model": model, "version": version}
        ):
            await self._fold(rows)
            after = int(rows[-1]["arrival"])

    def _place(self, model: str, version: int) -> _Place:
        fresh = _Place(Watch(model=model, model_version=version, policy=self._policy), 0)
        return self._places.setdefault((model, version), fresh)

    async def _fold(self, rows: list[Row]) -> None:
        """A snapshot is written when a watch had something to say: that is when it is worth its bytes."""
        spoke: dict[int, _Place] = {}
        sayings = []
        for row in rows:
            place = self._place(row["model"], int(row["model_version"]))
            for event in place.watch.observe(request_of(row)):
                sayings.append(self._say(event, row["message_id"], _key(event, place.watch)))
                spoke[id(place)] = place
        for start in range(0, len(sayings), _EVENTS_AT_ONCE):
            await asyncio.gather(*sayings[start : start + _EVENTS_AT_ONCE])
        for place in spoke.values():
            place.arrival = int(rows[-1]["arrival"])
            await self._save(place)

    async def _say(self, event: Event, cause_id: str, key: str) -> None:
        if derived_id(cause_id, event.type_name(), key) in self._said:
            return
        if isinstance(event, AlarmRaised):
            logger.warning("alarm: %s@%d %s", event.model, event.model_version, event.detail)
        await self._facts.publish(event, cause_id=cause_id, key=key)

    async def _save(self, place: _Place) -> None:
        watch = place.watch
        row = {
            "model": watch.model,
            "model_version": watch.model_version,
            "arrival": place.arrival,
            "body": json.dumps(watch.state()),
        }
        await self._store.insert("watch_state", [row])


def _key(event: Event, watch: Watch) -> str:
    """What tells the events of one message of request logs apart."""
    place = f"{watch.model}@{watch.model_version}/{watch.num_requests}"
    return f"{place}/{event.signal}" if isinstance(event, AlarmRaised | SignalComputed) else place
