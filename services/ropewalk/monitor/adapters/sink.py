"""From a stream into a table, every message once.

The position lives with the data: each row carries the sequence and id of its message. A batch that reaches back
behind what the table is known to hold (after a crash, or when messages come again) is compared with the table
first, so it may be cut in any way; a batch that is repeated as it was, because the outcome of an insert is unknown,
is dropped by its token. A message that the store refuses goes to the table `rejected`, alone; the rest goes on.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.foreign import cut
from ropewalk.monitor.adapters.clickhouse import ClickHouse
from ropewalk.monitor.domain.rows import MOST_BODY, RejectedRow, Row, Rows
from ropewalk.monitor.errors import StoreRefusedError, StoreUnavailableError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Which messages become rows of which table."""

    consumer: ConsumerSpec
    table: str
    rows: Callable[[Stored[Message]], Rows]
    max_messages: int = 200


async def _nothing() -> None:
    return


class Sink:
    """Feeds one table. `after` runs when new rows are stored and before they are acknowledged."""

    def __init__(self, store: ClickHouse, feed: Feed, after: Callable[[], Awaitable[None]] = _nothing) -> None:
        self._store = store
        self._feed = feed
        self._after = after
        self._highest = -1  # the highest sequence in the table; -1: not looked yet
        self._arrival = 0  # number of the newest batch: nanoseconds since 1970, never twice the same

    async def run(self, source: Bus, max_wait_s: float) -> None:
        """Take batches for ever."""
        consumer = self._feed.consumer
        async for batch in source.batches(consumer, max_messages=self._feed.max_messages, max_wait_s=max_wait_s):
            for raw, reason in batch.malformed:
                await source.dead_letter(consumer.stream, consumer.durable, raw, reason)
            await self.take(batch.items)
            await batch.ack()

    async def take(self, items: list[Stored[Message]]) -> None:
        """Store what is not stored yet. Returns when it is, however long the store is away."""
        await self.patiently(lambda: self._store_unseen(items))
        await self.patiently(self._after)

    async def patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, again and again while the store is away."""
        delay_s = 0.1
        while True:
            try:
                return await work()
            except StoreUnavailableError as error:
                logger.warning("store away, the sink of %s waits: %s", self._feed.consumer.stream, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 5.0)

    async def _store_unseen(self, items: list[Stored[Message]]) -> None:
        if self._highest < 0:
            await self._recall()
        await self._store_messages(await self._unseen(items))

    async def _recall(self) -> None:
        """Up to where the table reaches. Sequences begin at 1; 0 stands for an empty table."""
        [row] = await self._store.query(
            f"SELECT max(sequence) AS sequence, max(arrival) AS arrival FROM ropewalk.{self._feed.table}"
        )
        self._highest, self._arrival = int(row["sequence"]), int(row["arrival"])

    async def _unseen(self, items: list[Stored[Message]]) -> list[Stored[Message]]:
        sequences = [item.sequence for item in items]
        if not items or min(sequences) > self._highest:
            return items
        present = await self._store.query(
            f"SELECT DISTINCT sequence, message_id FROM ropewalk.{self._feed.table} "
            "WHERE sequence BETWEEN {first:UInt64} AND {last:UInt64}",
            {"first": min(sequences), "last": max(sequences)},
        )
        known = {(row["sequence"], row["message_id"]) for row in present}
        return [item for item in items if (item.sequence, item.envelope.id) not in known]

    async def _store_messages(self, items: list[Stored[Message]]) -> None:
        """One insert; if it is refused, the halves, down to the message at fault."""
        if not items:
            return
        converted = [self._feed.rows(item) for item in items]
        for item, rows in zip(items, converted, strict=True):
            await self._reject(item, rows.rejected)
        stored = [row for rows in converted for row in rows.stored]
        try:
            await self._insert(stored)
        except StoreRefusedError as error:
            if len(items) == 1:
                await self._check_table()
                body = cut(items[0].message.model_dump_json(), MOST_BODY)
                await self._reject(items[0], [RejectedRow(0, str(error), body)])
            else:
                middle = len(items) // 2
                await self._store_messages(items[:middle])
                await self._store_messages(items[middle:])
        self._highest = max(self._highest, *(item.sequence for item in items))

    async def _check_table(self) -> None:
        """A message is only at fault if the table itself answers."""
        try:
            await self._store.query(f"SELECT sequence FROM ropewalk.{self._feed.table} WHERE 0")
        except StoreRefusedError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _insert(self, rows: list[Row]) -> None:
        if not rows:
            return
        first, last = rows[0]["sequence"], rows[-1]["sequence"]
        content = hashlib.sha256(orjson.dumps(rows)).hexdigest()
        token = f"{self._feed.consumer.stream}:{first}-{last}:{content}:{self._feed.table}"
        self._arrival = max(self._arrival + 1, time.time_ns())
        await self._store.insert(self._feed.table, [row | {"arrival": self._arrival} for row in rows], token=token)

    async def _reject(self, item: Stored[Message], rejected: list[RejectedRow]) -> None:
        """All of a message at once, and one line in the log: a message may be wrong from its first row to its last."""
        if not rejected:
            return
        stream, first = self._feed.consumer.stream, rejected[0]
        more = f" and {len(rejected) - 1} more rows of it" if len(rejected) > 1 else ""
        logger.warning("%s %d row %d set aside%s: %s", stream, item.sequence, first.row, more, first.reason)
        place = {
            "time": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds"),
            "stream": stream,
            "sequence": item.sequence,
            "message_id": item.envelope.id,
        }
        rows = [place | {"row": each.row, "reason": each.reason, "body": each.body} for each in rejected]
        await self._store.insert("rejected", rows)
