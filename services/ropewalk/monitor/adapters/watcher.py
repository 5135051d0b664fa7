"""Runs the watches over the stored requests, in the order in which they were stored, and publishes what they say.

It reads only the table, live and after a restart alike, so there is one path. Every event's id is derived from the
message that brought the request, so whatever is folded again after a crash says nothing twice on the log; telemetry
may come twice, and its table keeps one.

Only requests that reached a model version are watched: a name that somebody made up is a row and nothing else. The
watches of versions that are long out of service rest in the table; a bounded number is in memory.
"""

import asyncio
import json
import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from ropewalk.bus.bus import Bus
from ropewalk.events.base import RUN_ID_PATTERN, Message
from ropewalk.events.envelope import derived_id
from ropewalk.events.foreign import one_line
from ropewalk.events.monitoring import AlarmCleared, AlarmRaised, BaselineSealed, Rebaseline
from ropewalk.monitor.adapters.clickhouse import ClickHouse
from ropewalk.monitor.domain.rows import Row, sample_of
from ropewalk.monitor.domain.watch import Watch, WatchNotice, WatchPolicy
from ropewalk.telemetry.spans import span

logger = logging.getLogger(__name__)

WatchedVersion = tuple[str, int]

_BATCHES_PER_READ = 8  # of rows with their prompts: this bounds the memory of a restart
_MOST_WATCHES = 64  # in memory; half a megabyte each
_MOST_NAME = 200  # characters of a model's name
_ROWS_PER_SNAPSHOT = 2_000  # a snapshot has some 70 kB, and folding so many rows again takes a tenth of a second
_SAYS = (BaselineSealed, AlarmRaised, AlarmCleared)
_RUN_ID = re.compile(RUN_ID_PATTERN)
_ORDER = "ORDER BY arrival, sequence, row"
_OF_VERSION = "model = {model:String} AND model_version = {version:Int64} AND arrival <= {last:UInt64} AND"
_COLUMNS = (
    "time, request_id, key_id, model, model_version, run_id, status, latency_ms, completion_tokens, logprob_mean, "
    "if(model_version > 0, prompt, '') AS prompt, message_id, arrival"
)


def _next_rows(only: str = "") -> str:
    """The rows of the next few batches. A batch is never split, so a place is just the number of a batch."""
    later = f"FROM ropewalk.request WHERE {only} arrival > {{after:UInt64}}"
    end = f"SELECT max(arrival) FROM (SELECT DISTINCT arrival {later} ORDER BY arrival LIMIT {_BATCHES_PER_READ})"
    return f"SELECT {_COLUMNS} {later} AND arrival <= ({end}) {_ORDER}"


@dataclass
class _Place:
    """A watch, the batch of rows up to which it has seen them, and how many of them no snapshot has."""

    watch: Watch
    arrival: int
    num_unsaved: int = 0


class Watcher:
    """All watches. Call `restore` once, then `advance` whenever rows were stored."""

    def __init__(self, store: ClickHouse, facts: Bus, policy: WatchPolicy) -> None:
        self._store = store
        self._facts = facts
        self._policy = policy
        self._places: dict[WatchedVersion, _Place] = {}  # the one used last is the last
        self._said: set[str] = set()  # ids of facts that are in the log
        self._arrival = 0  # the newest batch that every watch in memory has seen
        self._turn = asyncio.Lock()  # rows and wishes for a new baseline come from two tasks

    async def restore(self) -> None:
        """Continue from the snapshots; what has been said already is read from the log."""
        for kind in _SAYS:
            self._said |= {stored.envelope.id async for stored in self._facts.read(f"{kind.subject_prefix()}.*")}
        [end] = await self._store.query("SELECT max(arrival) AS arrival FROM ropewalk.request")
        self._arrival = int(end["arrival"])
        newest = await self._store.query(
            "SELECT model, model_version, max(arrival) AS newest FROM ropewalk.request WHERE model_version > 0 "
            f"GROUP BY model, model_version ORDER BY newest DESC LIMIT {_MOST_WATCHES}"
        )
        for row in reversed(newest):
            version = row["model"], int(row["model_version"])
            if len(version[0]) <= _MOST_NAME:
                await self._place(version)

    async def advance(self) -> None:
        """Fold in every row stored since."""
        async with self._turn:
            while rows := await self._store.query(_next_rows(), {"after": self._arrival}):
                arrival = int(rows[-1]["arrival"])
                for version, theirs in _by_version(rows).items():
                    await self._fold(await self._place(version), theirs, arrival)
                self._arrival = arrival

    async def rebaseline(self, asked: Rebaseline, time: str) -> bool:
        """Take the next requests of a version as its baseline; False if there is nothing such to watch."""
        version = asked.model, asked.model_version
        reason = one_line(f"rebaselined by {asked.by or 'somebody'}" + (f": {asked.reason}" if asked.reason else ""))
        async with self._turn:
            place = await self._place(version)
            if not place.watch.num_requests or (asked.signal and asked.signal not in place.watch.signals):
                return False
            for cleared in place.watch.rebaseline(asked.run_id, asked.signal, reason, time):
                await self._publish(cleared, f"rebaseline/{cleared.alarm_id}", str(place.watch.num_requests))
            await self._save(place)
        return True

    def state(self) -> dict[str, dict[str, Any]]:
        """The state of every watch in memory, by `model@version`."""
        return {f"{name}@{version}": place.watch.state() for (name, version), place in self._places.items()}

    async def _place(self, version: WatchedVersion) -> _Place:
        """The watch of a version, from memory or from its snapshot, up to the rows that all others have seen."""
        place = self._places.pop(version, None)
        if place is None:
            place = await self._loaded(version)
            await self._make_room()
            await self._catch_up(place)
        self._places[version] = place
        return place

    async def _loaded(self, version: WatchedVersion) -> _Place:
        name, number = version
        found = await self._store.query(
            "SELECT arrival, body FROM ropewalk.watch_state FINAL "
            "WHERE model = {model:String} AND model_version = {version:Int64}",
            {"model": name, "version": number},
        )
        if not found:
            return _Place(Watch(model=name, model_version=number, policy=self._policy), 0)
        watch = Watch.restore(name, number, self._policy, json.loads(found[0]["body"]))
        return _Place(watch, int(found[0]["arrival"]))

    async def _make_room(self) -> None:
        """Let the watches rest that were used least lately. One that has seen next to nothing begins anew."""
        while len(self._places) >= _MOST_WATCHES:
            version = next(iter(self._places))
            place = self._places.pop(version)
            if place.num_unsaved and place.watch.num_requests >= self._policy.window_requests:
                await self._save(place)

    async def _catch_up(self, place: _Place) -> None:
        """Fold in what one version has not seen. A version that is long out of service costs no reading."""
        which = {"model": place.watch.model, "version": place.watch.model_version, "last": self._arrival}
        while rows := await self._store.query(_next_rows(_OF_VERSION), {"after": place.arrival, **which}):
            await self._fold(place, [row for row in rows if _is_sound(row)], int(rows[-1]["arrival"]))

    async def _fold(self, place: _Place, rows: list[Row], arrival: int) -> None:
        """After a failure of the store the same rows come again: those that were folded in are left out."""
        new = [row for row in rows if int(row["arrival"]) > place.arrival]
        told = place.watch.observe_all([sample_of(row) for row in new])
        place.arrival = arrival
        place.num_unsaved += len(new)
        for each in told:
            await self._say(place.watch, each, new[each.index]["message_id"])
        if place.num_unsaved >= _ROWS_PER_SNAPSHOT or any(isinstance(each.message, _SAYS) for each in told):
            await self._save(place)

    async def _say(self, watch: Watch, told: WatchNotice, cause_id: str) -> None:
        """The key is what tells the events of one message of request logs apart."""
        signal = getattr(told.message, "signal", "")
        key = f"{watch.model}@{watch.model_version}/{told.number}" + (f"/{signal}" if signal else "")
        await self._publish(told.message, cause_id, key)

    async def _publish(self, message: Message, cause_id: str, key: str) -> None:
        if derived_id(cause_id, message.type_name(), key) in self._said:
            return
        if isinstance(message, AlarmRaised):
            logger.warning("alarm: %s@%d %s", one_line(message.model), message.model_version, message.detail)
        elif isinstance(message, AlarmCleared):
            logger.info("alarm %s is over: %s", one_line(message.alarm_id), message.reason)
        with span(f"watch {message.name}", cause="", run_id=message.run_id):
            await self._facts.publish(message, cause_id=cause_id, key=key)

    async def _save(self, place: _Place) -> None:
        watch = place.watch
        row = {
            "model": watch.model,
            "model_version": watch.model_version,
            "arrival": place.arrival,
            "body": json.dumps(watch.state()),
        }
        await self._store.insert("watch_state", [row])
        place.num_unsaved = 0


def _by_version(rows: list[Row]) -> dict[WatchedVersion, list[Row]]:
    """The rows of each version that can be watched, in their order."""
    found: dict[WatchedVersion, list[Row]] = defaultdict(list)
    for row in rows:
        if _is_sound(row):
            found[row["model"], int(row["model_version"])].append(row)
    return found


def _is_sound(row: Row) -> bool:
    """Whether the request reached a model version, as far as its row tells."""
    return row["model_version"] > 0 and len(row["model"]) <= _MOST_NAME and bool(_RUN_ID.match(row["run_id"]))
