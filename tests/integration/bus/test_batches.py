"""An atomic batch on a real server: whole or not at all, also when the connection is lost in the middle of it."""

import asyncio
from typing import Any

from ropewalk.bus.bus import Bus
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.connection import connect_options
from ropewalk.events.run import RunFailed, StageCompleted

NUM_BATCHES = 80  # the server keeps 50 unfinished ones of a stream


class Losing(GuardedClient):
    """Loses one message on its way, as a connection does that breaks in the middle of a batch."""

    lost = 0
    lose = "2"

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, Any] | None = None
    ) -> None:
        if not self.lost and (headers or {}).get("Nats-Batch-Sequence") == self.lose:
            self.lost += 1
            return
        await super().publish(subject, payload, reply, headers)


def facts(run_id: str, number: int = 4) -> list[StageCompleted]:
    return [StageCompleted(run_id=run_id, stage=str(index), epoch=1, seconds=1.0) for index in range(number)]


async def test_a_batch_that_lost_a_message_on_its_way_is_sent_again_and_stored_once(nats_server, bus) -> None:
    for lose in ("1", "2"):
        client = Losing("test")
        client.lose = lose
        await client.connect(**connect_options(nats_server.settings, "losing"))
        losing = Bus(client, "losing")
        await losing.publish_all(facts(f"r{lose}"), cause_id=lose)
        assert client.lost == 1
        stored = [item.message async for item in bus.read(f"evt.*.*.*.r{lose}")]
        assert stored == facts(f"r{lose}")
        await losing.close()


async def test_more_batches_at_once_than_the_server_takes_are_all_stored(bus) -> None:
    await asyncio.gather(*(bus.publish_all(facts(f"r{n}", 3), cause_id=f"c{n}") for n in range(NUM_BATCHES)))
    await bus.publish_all([RunFailed(run_id="r0", stage="s", message="m")], cause_id="last")
    stored = [item async for item in bus.read("evt.run.stage_completed.v1.*")]
    assert len(stored) == 3 * NUM_BATCHES
