"""The broker is away for minutes: what a service does meanwhile, and how soon all goes on. Prints JSON.

A service works on a stage, publishes, handles and follows events; nats-server is killed with SIGKILL, or the network
in between swallows every byte (--drop), and comes back after a while. Recovery is counted from the moment the
server's port accepts connections again. A blocked event loop is told from a machine that is busy with others by the
CPU time that the loop's thread took between two samples, and by a second process that samples its own, empty loop.

python benchmarks/outage.py [--away 300] [--ttl 10] [--drop]
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from machine import describe
from parts.broker import Broker, running_broker

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.drills.proxy import CutProxy
from ropewalk.events.consumers import handler, stage
from ropewalk.events.data import SegmentIngested
from ropewalk.events.run import RunAccepted, StageInterrupted, stage_state_subject
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.stages.leases import lease_subject

_SCRIPT = Path(__file__).parent / "parts" / "outage_service.py"
_RUN = "outage"
_STEPS_BEFORE = 20
_START_S = 60.0
_RECOVERY_S = 60.0
_SETTLE_S = 3.0
_RECONNECT_WAIT_S = 0.5
_BAR_BLOCKED_MS, _BAR_RECOVERY_S = 200, 2.0

Note = dict[str, Any]


@dataclass(frozen=True)
class Outage:
    """When it was, in seconds since 1970."""

    began: float
    ended: float


def main() -> None:
    """Start, take the broker away, bring it back, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--away", type=float, default=300.0, help="seconds without a broker")
    parser.add_argument("--ttl", type=float, default=10.0, help="of the lease, in seconds")
    parser.add_argument("--drop", action="store_true", help="drop bytes silently instead of killing the broker")
    options = parser.parse_args()
    with running_broker() as broker:
        result = asyncio.run(_measure(broker, options))
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(broker: Broker, options: argparse.Namespace) -> dict[str, Any]:
    consumers = (handler("outage", "notice", StageInterrupted), *stage("outage", "steps", RunAccepted))
    await apply_topology(broker.settings, consumers)
    async with CutProxy("127.0.0.1", _port(broker)) as network:
        return await _measure_behind(network, broker, options)


async def _measure_behind(network: CutProxy, broker: Broker, options: argparse.Namespace) -> dict[str, Any]:
    bus = await Bus.connect(broker.settings, "benchmark")
    health_port = _free_port()
    url = f"nats://127.0.0.1:{network.port}" if options.drop else broker.settings.url
    service = _start_service(broker, url, options.ttl, health_port)
    away = _cut(network, options.away, health_port) if options.drop else _killed(broker, options.away, health_port)
    control = subprocess.Popen([sys.executable, "-c", _CONTROL], stdout=subprocess.PIPE, text=True)
    try:
        recipe = resolve_recipe({"base": "python-stdlib-tiny"})
        await bus.publish(RunAccepted(run_id=_RUN, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()))
        await _until(lambda: _last(broker, "step", "step") >= _STEPS_BEFORE, _START_S)
        async with away as (outage, probes):
            await _until(lambda: _last(broker, "handled", "at") > outage.ended, _RECOVERY_S)
            await _until(lambda: _last(broker, "followed", "at") > outage.ended, _RECOVERY_S)
            renewed_at = await _lease_renewed_at(bus, outage.ended)
            ready_at = await _ready_at(health_port)
            await asyncio.sleep(_SETTLE_S)
            return await _result(bus, broker, options, _Seen(outage, probes, renewed_at, ready_at, control))
    finally:
        service.terminate()
        await asyncio.to_thread(service.wait)
        control.kill()
        control.wait()
        await bus.close()


@dataclass(frozen=True)
class _Seen:
    outage: Outage
    probes: list[tuple[int, int]]
    renewed_at: float
    ready_at: float
    control: subprocess.Popen[str]


async def _result(bus: Bus, broker: Broker, options: argparse.Namespace, seen: _Seen) -> dict[str, Any]:
    notes, outage = _notes(broker), seen.outage
    steps = [note for note in notes if note["what"] == "step"]
    said = [item.message async for item in bus.read(f"{SegmentIngested.subject_prefix()}.{_RUN}")]
    facts = {fact.source_id for fact in said if isinstance(fact, SegmentIngested)}
    state, _ = await bus.read_state(stage_state_subject("steps", _RUN))
    interrupted = await bus.last(StageInterrupted, _RUN)
    recovery = {
        "published": _first_after(notes, "published", outage.ended),
        "handled": _first_after(notes, "handled", outage.ended),
        "followed": _first_after(notes, "followed", outage.ended),
        "lease_renewed": seen.renewed_at - outage.ended,
        "ready": seen.ready_at - outage.ended,
    }
    blocks = [note for note in notes if note["what"] == "blocked"]
    blocked_ms = 1000 * max([note["seconds"] for note in blocks], default=0.0)
    own_ms = 1000 * max([note["cpu_seconds"] for note in blocks], default=0.0)
    control_ms = 1000 * _control_blocked_s(seen.control)
    gaps = [after["at"] - before["at"] for before, after in pairwise(steps)]
    return {
        "way": "bytes dropped" if options.drop else "nats-server killed",
        "away_s": round(outage.ended - outage.began, 1),
        "lease_ttl_s": options.ttl,
        "loop_blocked_ms_max": round(blocked_ms, 1),
        "loop_own_cpu_ms_max": round(own_ms, 1),
        "empty_loop_blocked_ms_max": round(control_ms, 1),
        "recovery_s": {name: round(value, 3) for name, value in recovery.items()},
        "recovery_s_max": round(max(recovery.values()), 3),
        "steps": len(steps),
        "steps_in_order_once": [note["step"] for note in steps] == list(range(1, len(steps) + 1)),
        "steps_while_away": sum(outage.began < note["at"] < outage.ended for note in steps),
        "steps_since_return": sum(note["at"] > outage.ended for note in steps),
        "longest_gap_between_steps_s": round(max(gaps), 3),
        "attempt": state.attempt if state else 0,
        "interrupted": interrupted is not None,
        "facts_missing": len({str(step) for step in range(10, len(steps) - 10, 10)} - facts),
        "live_while_away": all(live == 200 for live, _ in seen.probes),
        "not_ready_after_s": next((second for second, probe in enumerate(seen.probes, 1) if probe[1] == 503), None),
        "probes_while_away": len(seen.probes),
        "within_bar": blocked_ms < _BAR_BLOCKED_MS and max(recovery.values()) < _BAR_RECOVERY_S,
    }


def _start_service(broker: Broker, url: str, ttl_s: float, health_port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": url,
        "ROPEWALK_STATE_DIR": str(broker.folder / "state"),
        "ROPEWALK_LEASE_TTL_S": str(ttl_s),
        "ROPEWALK_HEALTH_PORT": str(health_port),
    }
    with (broker.folder / "service.log").open("wb") as log:
        command = [sys.executable, str(_SCRIPT), str(broker.folder / "notes")]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


@contextlib.asynccontextmanager
async def _killed(
    broker: Broker, away_s: float, health_port: int
) -> AsyncIterator[tuple[Outage, list[tuple[int, int]]]]:
    """Kill nats-server, ask the service for its health meanwhile, start it again on the same store."""
    began = time.time()
    os.kill(broker.pid, signal.SIGKILL)
    probes = await _probes(began + away_s + _RECONNECT_WAIT_S / 2, health_port)  # back between two tries to connect
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    with (broker.folder / "nats.log").open("ab") as log:
        again = subprocess.Popen([binary, "-c", broker.folder / "nats.conf"], stdout=log, stderr=log)
    try:
        await _until(lambda: _accepts(_port(broker)), _RECOVERY_S)
        yield Outage(began, time.time()), probes
    finally:
        again.terminate()
        await asyncio.to_thread(again.wait)


@contextlib.asynccontextmanager
async def _cut(
    network: CutProxy, away_s: float, health_port: int
) -> AsyncIterator[tuple[Outage, list[tuple[int, int]]]]:
    """The broker lives on and the service cannot know: every byte is swallowed, connections stay open."""
    began = time.time()
    network.cut("drop")
    probes = await _probes(began + away_s, health_port)
    network.heal()
    yield Outage(began, time.time()), probes


async def _probes(until: float, health_port: int) -> list[tuple[int, int]]:
    """Ask the service for its health every second."""
    probes = []
    while (left := until - time.time()) > 0:
        await asyncio.sleep(min(1.0, left))
        probes.append(await asyncio.to_thread(_probe, health_port))
    return probes


def _port(broker: Broker) -> int:
    return int(broker.settings.url.rpartition(":")[2])


def _probe(port: int) -> tuple[int, int]:
    return _status(f"http://127.0.0.1:{port}/live"), _status(f"http://127.0.0.1:{port}/ready")


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


async def _ready_at(port: int) -> float:
    await _until(lambda: _probe(port)[1] == 200, _RECOVERY_S)
    return time.time()


async def _lease_renewed_at(bus: Bus, after: float) -> float:
    """The server's time of the first renewal that it stored since then."""
    context = bus.connection.jetstream(timeout=5)
    deadline = time.monotonic() + _RECOVERY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            raw = await context.get_last_msg(LEASE_STREAM, lease_subject("steps", _RUN))
            if raw.time is not None and raw.time.timestamp() > after and b"epoch" in (raw.data or b""):
                return float(raw.time.timestamp())
        await asyncio.sleep(0.01)
    raise TimeoutError("the lease was not renewed")


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not happen")
        await asyncio.sleep(0.02)


def _notes(broker: Broker) -> list[Note]:
    path = broker.folder / "notes"
    return list(_parsed(path)) if path.exists() else []


def _parsed(path: Path) -> Iterator[Note]:
    for line in path.read_text().splitlines():
        yield json.loads(line)


def _last(broker: Broker, what: str, field: str) -> float:
    return max((float(note[field]) for note in _notes(broker) if note["what"] == what), default=0.0)


def _first_after(notes: list[Note], what: str, after: float) -> float:
    return min(float(note["at"]) for note in notes if note["what"] == what and note["at"] > after) - after


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CONTROL = """
import asyncio, time
async def main():
    worst = 0.0
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        if time.monotonic() - before - 0.005 > worst:
            worst = time.monotonic() - before - 0.005
            print(worst, flush=True)
asyncio.run(main())
"""


def _control_blocked_s(control: subprocess.Popen[str]) -> float:
    control.kill()
    lines, _ = control.communicate()
    return float(lines.split()[-1]) if lines.split() else 0.0


if __name__ == "__main__":
    main()
