"""How long a request takes to its handler: published with fsync by one process, handled by another. Prints JSON.

Requests come at random (Poisson) at a given rate and do not wait for each other. Time runs from before the publish to
the first line of the handler, after validation; both clocks are this machine's.

python benchmarks/bus_latency.py [--seconds 15] [--rates 100 200]
"""

import argparse
import asyncio
import json
import random
import sys
import time

from machine import describe
from parts.broker import running_broker
from parts.spread import percentile, spread_ms

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.delivery.consumer import Consumer
from ropewalk.delivery.delivery import Failures, deliver
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.consumers import handler
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import CancelRun

_P50_MS, _P99_MS = 5, 40


def main() -> None:
    """Handle what a child process publishes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 200])
    parser.add_argument("--publish-to", default="", help="used by this script itself")
    options = parser.parse_args()
    if options.publish_to:
        asyncio.run(_publish(NatsSettings(url=options.publish_to), options.seconds, options.rates[0]))
        return
    with running_broker() as broker:
        measured = {rate: asyncio.run(_measure(broker.settings, options.seconds, rate)) for rate in options.rates}
    result = {
        "seconds": options.seconds,
        "latency_ms": {
            f"{rate:.0f}/s": {"requests": len(found), **spread_ms(found)} for rate, found in measured.items()
        },
        "bar_ms": {"p50": _P50_MS, "p99": _P99_MS},
        "within_bar": all(
            1e3 * percentile(found, 0.5) <= _P50_MS and 1e3 * percentile(found, 0.99) <= _P99_MS
            for found in measured.values()
        ),
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(settings: NatsSettings, seconds: float, rate: float) -> list[float]:
    spec = handler("bench", f"rate{rate:.0f}", CancelRun)
    await apply_topology(settings, consumers=[spec])
    bus = await Bus.connect(settings, "bench")
    found: dict[str, float] = {}

    async def handle(request: CancelRun, _: Envelope) -> Outcome:
        if request.reason.startswith(f"{rate:.0f}@"):
            found[request.run_id] = time.time() - float(request.reason.partition("@")[2])
        return Done()

    failures = Failures()
    consumer = Consumer(bus.connection, spec, lambda raw: deliver(raw, CancelRun, handle, bus, spec.durable, failures))
    await consumer.bind()
    command = [__file__, "--publish-to", settings.url, "--seconds", str(seconds), "--rates", str(rate)]
    child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    while len(found) < int(said):
        await asyncio.sleep(0.05)
    over = asyncio.Event()
    over.set()
    await consumer.stop(over)
    await bus.close()
    return list(found.values())


async def _publish(settings: NatsSettings, seconds: float, rate: float) -> None:
    """Say on standard output how many it were."""
    bus = await Bus.connect(settings, "bench-publisher")
    chance = random.Random(7)
    sending: set[asyncio.Task[None]] = set()
    number, due = 0, time.perf_counter()
    end = due + seconds
    while (due := due + chance.expovariate(rate)) < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        request = CancelRun(run_id=f"r{rate:.0f}-{number}", reason=f"{rate:.0f}@{time.time()}")
        sending.add(asyncio.create_task(bus.publish(request)))
        number += 1
    await asyncio.gather(*sending)
    await bus.close()
    print(number)


if __name__ == "__main__":
    main()
