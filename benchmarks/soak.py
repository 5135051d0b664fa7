"""Ten million requests at 100 a second of simulated time through the monitor: what grows, and how far. JSON.

The tables (chDB), the sinks, the watch and the bus are the ones that ship; only the way of the request logs over the
stream INFER is left out, which has its own limit (4 GiB, the oldest go). Measured are the streams that the monitor
writes to, its memory, its tables on disk, and whether a row costs more at the end than at the beginning.

python benchmarks/soak.py [--requests 10000000]
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from machine import describe
from parts.broker import Broker, running_broker
from parts.traffic import PER_S, ROWS, Traffic

from ropewalk.bus.bus import Bus
from ropewalk.events.streams import STREAMS
from ropewalk.monitor.adapters.clickhouse import ClickHouse, open_embedded
from ropewalk.monitor.adapters.projections import LiveProjector
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.monitor.app import EVENTS, REQUESTS, SIGNALS
from ropewalk.monitor.domain.watch import WatchPolicy
from ropewalk.monitor.settings import ENGINE_ALLOCATOR

_MESSAGES = REQUESTS.max_messages  # as many as the sink takes at most
_POINTS = 20
_CONTROL_SHARE, _MEMORY_MB = 0.01, 500  # what must hold
_LIMITS = {spec.name: spec.max_bytes for spec in STREAMS}


@dataclass
class _Stack:
    """What a monitor has: a bus, tables, and the watch."""

    bus: Bus
    store: ClickHouse
    requests: Sink


def main() -> None:
    """Run, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    options = parser.parse_args()
    if os.environ.get("JE_MALLOC_CONF") != ENGINE_ALLOCATOR:  # must be there before the process begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"JE_MALLOC_CONF": ENGINE_ALLOCATOR})
    with running_broker(sync="2m") as broker, tempfile.TemporaryDirectory(prefix="ropewalk-soak-") as folder:
        result = asyncio.run(_soak(broker, Path(folder), options.requests))
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _soak(broker: Broker, folder: Path, num_requests: int) -> dict[str, Any]:
    bus = await Bus.connect(broker.settings, "monitor")
    store = await open_embedded(folder / "clickhouse", max_memory_mb=1024)
    watcher = Watcher(store, bus, WatchPolicy())
    await watcher.restore()
    stack = _Stack(bus, store, Sink(store, REQUESTS, after=watcher.advance))
    projector = LiveProjector(broker.settings, folder / "projections")
    others = [
        asyncio.create_task(Sink(store, SIGNALS).run(bus, 0.5)),
        asyncio.create_task(Sink(store, EVENTS).run(bus, 0.5)),
        asyncio.create_task(projector.run()),
    ]
    try:
        points = await _feed(stack, num_requests)
        return await _summary(stack, watcher, points, folder)
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await bus.close()
        await store.close()


async def _feed(stack: _Stack, num_requests: int) -> list[dict[str, float]]:
    """Everything through the sink; the figures after every twentieth of it."""
    traffic = Traffic(datetime.now(UTC) - timedelta(seconds=num_requests / PER_S))
    points: list[dict[str, float]] = []
    every = max(ROWS * _MESSAGES, num_requests // _POINTS)
    cpu, done, highest = time.process_time(), 0, 0
    while done < num_requests:
        made = time.process_time()
        items = traffic.messages(_MESSAGES)
        cpu += time.process_time() - made  # making them is no work of the monitor
        await stack.requests.take(items)
        done += len(items) * ROWS
        highest = max(highest, psutil.Process().memory_info().rss)
        if done >= every * (len(points) + 1):
            points.append(await _point(stack, done, (time.process_time() - cpu) / every * 1e6, highest))
            print(points[-1], file=sys.stderr, flush=True)
            cpu = time.process_time()
    return points


async def _point(stack: _Stack, done: int, cpu_us: float, highest: int) -> dict[str, float]:
    return {
        "requests": done,
        "rss_mb": round(psutil.Process().memory_info().rss / 1e6),
        "rss_mb_highest": round(highest / 1e6),
        "cpu_us_per_row": round(cpu_us, 1),
        "control_bytes": await _stream_bytes(stack.bus, "CONTROL"),
        "tel_bytes": await _stream_bytes(stack.bus, "TEL"),
    }


async def _stream_bytes(bus: Bus, stream: str) -> int:
    return int((await bus.connection.jetstream(timeout=20).stream_info(stream)).state.bytes)


async def _summary(stack: _Stack, watcher: Watcher, points: list[dict[str, float]], folder: Path) -> dict[str, Any]:
    done, control = points[-1]["requests"], await _stream_bytes(stack.bus, "CONTROL")
    highest = points[-1]["rss_mb_highest"]
    [rows] = await stack.store.query("SELECT count() AS stored FROM ropewalk.request")
    quarter = max(1, len(points) // 4)
    early, late = (sum(point["cpu_us_per_row"] for point in part) for part in (points[:quarter], points[-quarter:]))
    return {
        "requests": done,
        "rows_stored": rows["stored"],
        "simulated_hours": round(done / PER_S / 3600, 1),
        "control_bytes": control,
        "control_messages": (await stack.bus.connection.jetstream().stream_info("CONTROL")).state.messages,
        "control_share_of_limit": control / _LIMITS["CONTROL"],
        "control_below_1_percent": control < _CONTROL_SHARE * _LIMITS["CONTROL"],
        "audit_bytes": await _stream_bytes(stack.bus, "AUDIT"),
        "tel_bytes": await _stream_bytes(stack.bus, "TEL"),
        "tel_days_until_its_limit": round(_LIMITS["TEL"] / (points[-1]["tel_bytes"] / (done / PER_S)) / 86_400),
        "rss_mb_highest": highest,
        "rss_mb_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "memory_below_500_mb": highest < _MEMORY_MB,
        "cpu_us_per_row": round(sum(point["cpu_us_per_row"] for point in points) / len(points), 1),
        "cpu_per_row_late_over_early": round(late / early, 2),
        "tables_mb": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6),
        "watches_in_memory": len(watcher.state()),
        "course": points,
    }


if __name__ == "__main__":
    main()
