"""How many step metrics a second reach the disk: packed, fsync on, read back and counted. Prints JSON.

Batches go one after the other, as a trainer publishes them, and through the window publisher, as request logs go.

python benchmarks/bus_telemetry.py [--events 60000] [--rows 100] [--turns 3]
"""

import argparse
import asyncio
import json
import statistics
import time

from machine import describe
from parts.broker import running_broker

from ropewalk.bus.bus import Bus
from ropewalk.bus.publisher import WindowPublisher
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.training import StepMetrics, StepMetricsBatch

_BAR = 30_000
_WINDOWS = (1, 4, 16)


def main() -> None:
    """Publish in every way, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rows", type=int, default=100, help="events per message")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    found: dict[int, list[float]] = {window: [] for window in _WINDOWS}
    cpu: dict[int, list[float]] = {window: [] for window in _WINDOWS}
    with running_broker() as broker:
        for turn in range(options.turns):
            for window in _WINDOWS:
                run_id = f"turn{turn}-window{window}"
                wall_s, cpu_s = asyncio.run(_measure(broker.settings, run_id, window, options))
                found[window].append(options.events / wall_s)
                cpu[window].append(1e6 * cpu_s / options.events)
    medians = {window: round(statistics.median(rates)) for window, rates in found.items()}
    result = {
        "events": options.events,
        "events_per_message": options.rows,
        "events_per_s_by_window": medians,
        "events_per_s_of_each_turn": {window: [round(rate) for rate in rates] for window, rates in found.items()},
        "client_cpu_us_per_event": {window: round(statistics.median(each), 2) for window, each in cpu.items()},
        "bar_events_per_s": _BAR,
        "within_bar": max(medians.values()) >= _BAR,
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _measure(
    settings: NatsSettings, run_id: str, window: int, options: argparse.Namespace
) -> tuple[float, float]:
    bus = await Bus.connect(settings, "bench")
    steps = [_step(number) for number in range(options.events)]
    wall, cpu = time.perf_counter(), time.process_time()
    async with WindowPublisher(bus, window) as publisher:
        for first in range(0, len(steps), options.rows):
            batch = StepMetricsBatch(run_id=run_id, rows=tuple(steps[first : first + options.rows]))
            await publisher.publish(batch, cause_id=run_id, key=str(first))
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    stored = [item.message async for item in bus.read(f"{StepMetricsBatch.subject_prefix()}.{run_id}", stream="TEL")]
    rows = [row for batch in stored if isinstance(batch, StepMetricsBatch) for row in batch.rows]
    assert sorted(row.step for row in rows) == list(range(options.events))
    await bus.close()
    return wall_s, cpu_s


def _step(number: int) -> StepMetrics:
    return StepMetrics(
        time_unix=1.7e9 + number,
        attempt=1,
        step=number,
        loss=2.5,
        grad_norm=1.0,
        lr=3e-4,
        tokens=8192,
        step_s=0.1,
        data_s=0.01,
        checkpoint_s=0.0,
    )


if __name__ == "__main__":
    main()
