"""Many leases at once on a server with many runs in its log: what heartbeats cost. Prints JSON.

CPU is in percent of one core. The cost of heartbeats is what the processes use while they hold leases, less what the
same processes use without any; client and server are given separately. How fast `ropewalk runs` answers on such a log
is measured in `replay.py`.

python benchmarks/leases.py [--runs 10000] [--leases 200] [--holders 7] [--seconds 30]
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from machine import describe
from parts.broker import Broker, running_broker
from parts.sample_log import brief_run_messages

from ropewalk.bus.bulk import address_of, stream_ends
from ropewalk.bus.bus import Bus
from ropewalk.bus.sending import Sender
from ropewalk.bus.wire import Wire
from ropewalk.events.streams import LEASE_STREAM

_SCRIPT = Path(__file__).parent / "parts" / "lease_holder.py"
_RUNS_PER_BATCH = 300  # of three messages; JetStream takes at most 1000 messages in one batch


def main() -> None:
    """Fill the log, hold the leases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--leases", type=int, default=200)
    parser.add_argument("--holders", type=int, default=7, help="processes that share the leases, one per service")
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with running_broker() as broker:
        asyncio.run(_fill(broker, options.runs))
        idle = _cpu(broker, options, 0)
        busy = _cpu(broker, options, options.leases)
    client, server = busy["client"] - idle["client"], busy["server"] - idle["server"]
    result = {
        "runs": options.runs,
        "leases": options.leases,
        "lease_ttl_s": options.ttl,
        "holders": options.holders,
        "window_s": options.seconds,
        "idle": {name: round(value, 2) for name, value in idle.items()},
        "holding": {name: round(value, 2) for name, value in busy.items()},
        "heartbeats_client_cpu_percent": round(client, 2),
        "heartbeats_server_cpu_percent": round(server, 2),
        "heartbeats_cpu_percent": round(client + server, 2),
        "bar_cpu_percent": 5.0,
        "within_bar": client + server < 5.0,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _fill(broker: Broker, num_runs: int) -> None:
    bus = await Bus.connect(broker.settings, "bench")
    sender = Sender(bus.connection)
    for first in range(0, num_runs, _RUNS_PER_BATCH):
        numbers = range(first, min(first + _RUNS_PER_BATCH, num_runs))
        await sender.send([bus.prepare(message) for number in numbers for message in brief_run_messages(number)])
    context = bus.connection.jetstream(timeout=30)
    written = (await context.stream_info("CONTROL")).state.last_seq
    while (await context.stream_info("AUDIT")).state.last_seq < written:
        await asyncio.sleep(0.2)  # or the work of the mirror is taken for that of heartbeats
    await bus.close()


def _cpu(broker: Broker, options: argparse.Namespace, num_leases: int) -> dict[str, float]:
    """CPU of the holders and of the server while `num_leases` are held."""
    environment = os.environ | {
        "ROPEWALK_NATS_URL": broker.settings.url,
        "ROPEWALK_STATE_DIR": str(broker.folder / "state"),
        "ROPEWALK_LEASE_TTL_S": str(options.ttl),
    }
    holders = [
        subprocess.Popen(
            [sys.executable, _SCRIPT, f"holder{number}", str(len(range(number, num_leases, options.holders)))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(options.holders)
    ]
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    time.sleep(options.ttl / 2)
    before = _seconds([holder.pid for holder in holders]), _seconds([broker.pid]), _num_renewals(broker)
    time.sleep(options.seconds)
    after = _seconds([holder.pid for holder in holders]), _seconds([broker.pid]), _num_renewals(broker)
    for holder in holders:
        output, _ = holder.communicate()
        assert output == "lost 0\n", output
    client, server, renewals = ((now - then) / options.seconds for then, now in zip(before, after, strict=True))
    return {"client": 100 * client, "server": 100 * server, "renewals_per_s": renewals}


def _num_renewals(broker: Broker) -> int:
    """How many messages the lease bucket ever had."""
    with Wire(address_of(broker.settings)) as wire:
        return stream_ends(wire, LEASE_STREAM).last


def _seconds(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(used.user + used.system for used in times)


if __name__ == "__main__":
    main()
