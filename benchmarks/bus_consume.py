"""What consuming costs: CPU per 1 kB event, read + validate + acknowledge. Prints JSON.

Side by side in one run, each over the same preloaded stream with a consumer of its own: nats-py's push callback (the
least there is), our consumer, our batches for sinks, and FastStream as it comes (its pull subscriber, its default
acknowledgement policy, the model as a parameter). The ways take turns; the figure of a way is its median turn.

python benchmarks/bus_consume.py [--events 4000] [--turns 3]
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from faststream.nats import JStream, NatsBroker, PullSub
from machine import describe
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from parts.broker import running_broker

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.batches import batches
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.delivery.consumer import Consumer
from ropewalk.delivery.delivery import Failures, deliver
from ropewalk.delivery.hazards import is_suspicious
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunFailed

_SUBJECT = f"{RunFailed.subject_prefix()}.*"
_BATCH = 256
_BYTES = 1024


def main() -> None:
    """Load the stream, then let every way consume it in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with running_broker() as broker:
        found = asyncio.run(_measure(broker.settings, options.events, options.turns))
    result = {
        "events": options.events,
        "bytes_per_event": _BYTES,
        "cpu_us_per_event": {name: round(statistics.median(cpu), 1) for name, (cpu, _) in found.items()},
        "cpu_us_of_each_turn": {name: [round(each, 1) for each in cpu] for name, (cpu, _) in found.items()},
        "events_per_s": {name: round(statistics.median(rate)) for name, (_, rate) in found.items()},
        "bar_us": 60,
        "within_bar": statistics.median(found["bus consumer, as a service uses it"][0]) <= 60,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(settings: NatsSettings, num_events: int, turns: int) -> dict[str, tuple[list[float], list[float]]]:
    bus = await Bus.connect(settings, "bench")
    padding = "x" * (_BYTES - len(RunFailed(run_id="r-000000", stage="s", message="").model_dump_json()))
    for first in range(0, num_events, _BATCH):
        numbers = range(first, min(first + _BATCH, num_events))
        facts = [RunFailed(run_id=f"r-{number:06}", stage="s", message=padding) for number in numbers]
        await bus.publish_all(facts, cause_id=str(first))
    ways: dict[str, Callable[[ConsumerSpec, Counted], Awaitable[None]]] = {
        "nats-py push": lambda spec, counted: _push(bus, spec, counted),
        "bus consumer": lambda spec, counted: _consumer(bus, spec, counted),
        "bus consumer, as a service uses it": lambda spec, counted: _service(bus, spec, counted),
        "bus batches": lambda spec, counted: _batches(bus, spec, counted),
        "FastStream default": lambda spec, counted: _faststream(settings, spec, counted),
    }
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    for turn in range(turns):
        for number, (name, way) in enumerate(ways.items()):
            spec = ConsumerSpec(
                service="bench",
                purpose=f"w{number}_{turn}",
                stream="CONTROL",
                subjects=(_SUBJECT,),
                max_ack_pending=4 * _BATCH,
            )
            if not name.startswith("nats-py"):
                await apply_topology(settings, consumers=[spec])
            counted = Counted(num_events)
            await way(spec, counted)
            found[name][0].append(1e6 * counted.cpu_s / num_events)
            found[name][1].append(num_events / counted.wall_s)
    await bus.close()
    return found


class Counted:
    """Measures from the first event to the last."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen = 0
        self.all = asyncio.Event()
        self.cpu_s = self.wall_s = 0.0

    def add(self, number: int = 1) -> None:
        """So many were validated and acknowledged."""
        if not self.seen:
            self._cpu, self._wall = time.process_time(), time.perf_counter()
        self.seen += number
        if self.seen == self.wanted:
            self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall
            self.all.set()


async def _push(bus: Bus, spec: ConsumerSpec, counted: Counted) -> None:
    async def take(raw: Msg) -> None:
        RunFailed.model_validate_json(raw.data)
        await raw.ack()
        counted.add()

    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=spec.max_ack_pending)
    subscription = await bus.connection.jetstream().subscribe(
        _SUBJECT, durable=spec.durable, stream=spec.stream, cb=take, manual_ack=True, config=config
    )
    await counted.all.wait()
    await subscription.unsubscribe()


async def _service(bus: Bus, spec: ConsumerSpec, counted: Counted) -> None:
    """With envelope, span, metrics, dead letters and outcome."""

    async def handle(event: RunFailed, _: Envelope) -> Outcome:
        counted.add()
        return Done()

    failures = Failures()

    async def take(raw: Msg) -> None:
        assert not is_suspicious(raw)
        await deliver(raw, RunFailed, handle, bus, spec.durable, failures)

    await _consume(bus, spec, counted, take)


async def _consumer(bus: Bus, spec: ConsumerSpec, counted: Counted) -> None:
    async def take(raw: Msg) -> None:
        RunFailed.model_validate_json(raw.data)
        await raw.ack()
        counted.add()

    await _consume(bus, spec, counted, take)


async def _consume(bus: Bus, spec: ConsumerSpec, counted: Counted, take: Callable[[Msg], Awaitable[None]]) -> None:
    consumer = Consumer(bus.connection, spec, take, workers=64)
    await consumer.bind()
    await counted.all.wait()
    over = asyncio.Event()
    over.set()
    await consumer.stop(over)


async def _batches(bus: Bus, spec: ConsumerSpec, counted: Counted) -> None:
    taken = batches(bus.connection, spec, max_messages=_BATCH, max_wait_s=0.05)
    async for batch in taken:
        await batch.ack()
        counted.add(len(batch.items))
        if counted.all.is_set():
            break
    await taken.aclose()


async def _faststream(settings: NatsSettings, spec: ConsumerSpec, counted: Counted) -> None:
    broker = NatsBroker(settings.url, logger=None)

    @broker.subscriber(_SUBJECT, stream=JStream(spec.stream, declare=False), durable=spec.durable, pull_sub=PullSub())
    async def take(event: RunFailed) -> None:
        counted.add()

    await broker.start()
    await counted.all.wait()
    await broker.stop()


if __name__ == "__main__":
    main()
