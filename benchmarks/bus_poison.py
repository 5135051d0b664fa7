"""What poison costs the healthy: 1 % of a stream cannot be handled until it is mended. Prints JSON.

Events come at random (Poisson) to one handler; the same rate first without and then with poison, in turns. Healthy
latency runs from before the publish to the handler. Every poison event must become one dead letter; after the mending
a retry of every letter must heal all of them.

python benchmarks/bus_poison.py [--events 500] [--rate 100] [--turns 6]
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from machine import describe
from parts.broker import running_broker
from parts.spread import percentile, spread_ms

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.client.dead_letters import DeadLetter, DeadLetters
from ropewalk.delivery.consumer import Consumer
from ropewalk.delivery.delivery import Failures, deliver
from ropewalk.delivery.outcome import Done, Outcome, Reject
from ropewalk.events.consumers import handler
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import StageInterrupted

_POISON_EVERY = 100
_BAR_SHARE = 0.2
_DEADLINE_S = 60.0


def main() -> None:
    """Without poison, with poison, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--turns", type=int, default=6)
    options = parser.parse_args()
    with running_broker() as broker:
        result = asyncio.run(_measure(broker.settings, options))
    print(json.dumps({"machine": describe(), **result}, indent=1))


class Handling:
    """Notes when healthy events arrive and what is healed."""

    def __init__(self) -> None:
        self.latencies: dict[str, float] = {}
        self.healed: Counter[str] = Counter()
        self.mended = False

    def has_seen(self, wanted: int) -> bool:
        """Whether all healthy events of this turn have arrived."""
        return len(self.latencies) == wanted

    async def handle(self, event: StageInterrupted, _: Envelope) -> Outcome:
        if event.stage == "poison":
            if not self.mended:
                return Reject("this stage cannot be handled yet")
            self.healed[event.run_id] += 1
        else:
            self.latencies[event.run_id] = time.time() - float(event.cause)
        return Done()


async def _measure(settings: NatsSettings, options: argparse.Namespace) -> dict[str, object]:
    spec = handler("bench", "poisoned", StageInterrupted)
    await apply_topology(settings, consumers=[spec])
    bus, publisher = await Bus.connect(settings, "bench"), await Bus.connect(settings, "bench-publisher")
    handling = Handling()
    failures = Failures()
    consumer = Consumer(
        bus.connection, spec, lambda raw: deliver(raw, StageInterrupted, handling.handle, bus, spec.durable, failures)
    )
    await consumer.bind()
    clean: list[list[float]] = []
    poisoned: list[list[float]] = []
    num_poison = 0
    for turn in range(options.turns):
        for poison, latencies in ((False, clean), (True, poisoned)):
            handling.latencies = {}
            num_poison += await _publish(publisher, f"t{turn}-{poison:d}", poison, options)
            wanted = options.events - (options.events // _POISON_EVERY if poison else 0)
            await _until(partial(handling.has_seen, wanted))
            latencies.append(list(handling.latencies.values()))
    letters = DeadLetters(bus)
    found = await _letters(letters, num_poison)
    handling.mended = True
    for letter in found:
        await letters.retry(letter)
    await _until(lambda: handling.healed.total() == num_poison)
    over = asyncio.Event()
    over.set()
    await consumer.stop(over)
    await publisher.close()
    await bus.close()
    edges = {name: [percentile(turn, 0.99) for turn in found] for name, found in (("clean", clean), ("all", poisoned))}
    moved = statistics.median(edges["all"]) / statistics.median(edges["clean"]) - 1
    return {
        "events": 2 * options.turns * options.events,
        "rate_per_s": options.rate,
        "poison": num_poison,
        "dead_letters": len(found),
        "healed_by_retry": len(handling.healed),
        "healed_twice": sum(number > 1 for number in handling.healed.values()),
        "healthy_ms_without_poison": spread_ms([each for turn in clean for each in turn]),
        "healthy_ms_with_poison": spread_ms([each for turn in poisoned for each in turn]),
        "p99_ms_of_each_turn_without": [round(1e3 * edge, 1) for edge in edges["clean"]],
        "p99_ms_of_each_turn_with": [round(1e3 * edge, 1) for edge in edges["all"]],
        "median_p99_moved_percent": round(100 * moved, 1),
        "bar_moved_percent": 100 * _BAR_SHARE,
        "within_bar": moved < _BAR_SHARE and len(found) == num_poison == len(handling.healed),
    }


async def _publish(bus: Bus, prefix: str, poison: bool, options: argparse.Namespace) -> int:
    """Returns how many of them were poison."""
    chance = random.Random(11)
    sending: set[asyncio.Task[None]] = set()
    due, num_poison = time.perf_counter(), 0
    for number in range(options.events):
        due += chance.expovariate(options.rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        stage = "poison" if poison and number % _POISON_EVERY == _POISON_EVERY // 2 else "healthy"
        num_poison += stage == "poison"
        event = StageInterrupted(run_id=f"{prefix}-{number}", stage=stage, epoch=1, cause=str(time.time()))
        sending.add(asyncio.create_task(bus.publish(event)))
    await asyncio.gather(*sending)
    return num_poison


async def _letters(letters: DeadLetters, wanted: int) -> list[DeadLetter]:
    deadline = time.monotonic() + _DEADLINE_S
    while len(found := await letters.read()) < wanted:
        assert time.monotonic() < deadline, f"{len(found)} of {wanted} dead letters"
        await asyncio.sleep(0.1)
    return found


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
