"""A service is lost: how long until its stage runs elsewhere. Prints JSON.

Several services of two instances each hold one stage; again and again the holder is killed with SIGKILL, its survivor
takes the stage over, and the killed one comes back as the next survivor. Time runs from the kill to the server's time
of StageStarted; both clocks are this machine's.

python benchmarks/recovery.py [--kills 50] [--ttl 2] [--services 2]
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe
from parts.broker import Broker, running_broker
from parts.holding import build

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.events.run import RunAccepted, StageStarted
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.runtime.settings import RuntimeSettings

_SCRIPT = Path(__file__).parent / "parts" / "holding.py"
_DEADLINE_S = 60.0
_KILLS_PER_STAGE = 13  # `stage_policy.RETRIES` allows 20 losses


def main() -> None:
    """Kill, wait, repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ttl", type=float, default=2.0, help="of the lease, in seconds")
    parser.add_argument("--services", type=int, default=2, help="how many are killed side by side")
    options = parser.parse_args()
    with running_broker() as broker:
        seconds = asyncio.run(_measure(broker, options))
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    result = {
        "kills": len(ordered),
        "lease_ttl_s": options.ttl,
        "services_side_by_side": options.services,
        "recovery_s_p50": round(statistics.median(ordered), 3),
        "recovery_s_p99": round(p99, 3),
        "recovery_s_max": round(ordered[-1], 3),
        "recovery_s_min": round(ordered[0], 3),
        "bar_s": options.ttl + 1.0,
        "within_bar": p99 <= options.ttl + 1.0,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(broker: Broker, options: argparse.Namespace) -> list[float]:
    """In rounds of fresh services, because a stage that is lost too often fails for good."""
    bus = await Bus.connect(broker.settings, "recovery")
    found: list[float] = []
    number = 0
    while len(found) < options.kills:
        names = [f"hold{number + index}" for index in range(options.services)]
        number += options.services
        kills = min(_KILLS_PER_STAGE, -(-(options.kills - len(found)) // options.services))
        found += await _round(bus, broker, names, kills, options.ttl)
    await bus.close()
    return found


async def _round(bus: Bus, broker: Broker, names: list[str], kills: int, ttl_s: float) -> list[float]:
    settings = RuntimeSettings(state_dir=broker.folder / "state")
    await apply_topology(broker.settings, [spec for name in names for spec in build(name, settings).consumers()])
    pairs = [_Pair(name, bus, broker, ttl_s) for name in names]
    try:
        measured = await asyncio.gather(*(pair.run(kills) for pair in pairs))
    finally:
        for pair in pairs:
            pair.end()
    return [seconds for found in measured for seconds in found]


class _Pair:
    """Two instances of one service, and the one run that they hold in turn."""

    def __init__(self, name: str, bus: Bus, broker: Broker, ttl_s: float) -> None:
        self._name = name
        self._bus = bus
        self._broker = broker
        self._ttl_s = ttl_s
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = bus.follow(f"{StageStarted.subject_prefix()}.{name}")

    async def run(self, kills: int) -> list[float]:
        """Seconds from each kill to the takeover."""
        for instance in ("a", "b"):
            await self._start(instance)
        recipe = resolve_recipe({"base": "python-stdlib-tiny"})
        accepted = RunAccepted(run_id=self._name, recipe=recipe.as_json(), recipe_sha256=recipe.sha256())
        await self._bus.publish(accepted, cause_id=self._name)
        await self._next_start()
        found: list[float] = []
        for _ in range(kills):
            holder = await self._holder()
            killed_at = time.time()
            self._processes[holder].send_signal(signal.SIGKILL)
            self._processes[holder].wait()
            found.append(await self._next_start() - killed_at)
            await self._start(holder)
        return found

    def end(self) -> None:
        """Kill both."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    async def _start(self, instance: str) -> None:
        """Start an instance and wait until it answers."""
        environment = os.environ | {
            "ROPEWALK_NATS_URL": self._broker.settings.url,
            "ROPEWALK_STATE_DIR": str(self._broker.folder / "state"),
            "ROPEWALK_LEASE_TTL_S": str(self._ttl_s),
            "ROPEWALK_INSTANCE": instance,
            "ROPEWALK_CAPACITY_CPUS": "64",  # what is measured here is no waiting for a turn
        }
        with (self._broker.folder / f"{self._name}-{instance}.log").open("ab") as log:
            command = [sys.executable, str(_SCRIPT), self._name]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._processes[instance] = process
        inbox = self._bus.connection.new_inbox()
        answers = await self._bus.connection.subscribe(inbox)
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            await self._bus.connection.publish(f"ctl.ping.{self._name}", reply=inbox)
            await asyncio.sleep(0.05)
            while answers.pending_msgs:
                data = (await answers.next_msg()).data  # empty while nobody listens
                if data and json.loads(data)["pid"] == process.pid:
                    await answers.unsubscribe()
                    return
        raise TimeoutError(f"{self._name} did not answer within {_DEADLINE_S:.0f} s")

    async def _holder(self) -> str:
        raw = await self._bus.connection.jetstream().get_last_msg(LEASE_STREAM, f"$KV.lease.{self._name}.{self._name}")
        return str(json.loads(raw.data or b"{}")["holder"]).rpartition("/")[2]

    async def _next_start(self) -> float:
        """When the stage began the next time, in seconds since 1970 by the server's clock."""
        return (await asyncio.wait_for(anext(self._starts), _DEADLINE_S)).time.timestamp()


if __name__ == "__main__":
    main()
