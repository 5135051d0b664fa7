"""Rebuilding every projection from AUDIT, compared with the live projector; how fast `ropewalk runs` answers. JSON.

The log has runs in full (as the seven services write them) and more runs in brief, so that there are many. A rebuild
reads every message of the log and decodes those that change a projection. The server syncs as it does by default,
since filling the log is no part of the measurement; nothing that is measured writes.

python benchmarks/replay.py [--full 1150] [--runs 10000] [--repeat 5]
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from machine import describe
from parts.broker import Broker, running_broker
from parts.sample_log import brief_run_messages, run_messages

from ropewalk.bus.bulk import address_of, stream_ends
from ropewalk.bus.bus import Bus
from ropewalk.bus.sending import Outgoing, Sender
from ropewalk.bus.wire import Wire, WireError
from ropewalk.events.base import Message
from ropewalk.projections.asking import ask
from ropewalk.projections.replay import Until, rebuild

_BATCH = 900  # messages; JetStream takes at most 1000 in one batch
_LIVE = Path(__file__).parent / "parts" / "live_projector.py"
_ROPEWALK = Path(sys.executable).parent / "ropewalk"
_ANSWERS = 15


def main() -> None:
    """Fill the log, let the live projector read it, rebuild, compare, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", type=int, default=1_150, help="runs with everything that services write about them")
    parser.add_argument("--runs", type=int, default=10_000, help="runs in all")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with running_broker(sync="2m") as broker, Wire(address_of(broker.settings)) as wire:
        began = time.monotonic()
        asyncio.run(_fill(broker, options.full, options.runs))
        filled_s = time.monotonic() - began
        _wait(lambda: stream_ends(wire, "AUDIT") == stream_ends(wire, "CONTROL"))
        messages = stream_ends(wire, "AUDIT").messages
        began = time.monotonic()
        live = subprocess.Popen([sys.executable, _LIVE, broker.settings.model_dump_json(), broker.folder / "snapshots"])
        try:
            _wait(lambda: _knows(wire, messages))
            live_s = time.monotonic() - began
            rebuilds = [_rebuild(wire) for _ in range(options.repeat)]
            answers = [_runs(broker) for _ in range(_ANSWERS)]
            snapshot_bytes = (broker.folder / "snapshots" / "snapshot.json").stat().st_size
        finally:
            live.kill()
            live.wait()
        without_s, _ = _runs(broker)
    rates = [each["events_per_s"] for each in rebuilds]
    result = {
        "messages": messages,
        "decoded": rebuilds[0]["decoded"],
        "runs": options.runs,
        "fill_messages_per_s": round(messages / filled_s),
        "rebuild_events_per_s_median": round(statistics.median(rates)),
        "rebuild_events_per_s_all": [round(rate) for rate in rates],
        "rebuild_cpu_us_per_event": round(statistics.median(each["cpu_us"] for each in rebuilds), 1),
        "equal_to_live": all(each["equal"] for each in rebuilds),
        "live_catches_up_s": round(live_s, 1),
        "snapshot_mb": round(snapshot_bytes / 1e6, 1),
        "runs_command_ms_median": round(statistics.median(seconds for seconds, _ in answers) * 1000),
        "runs_command_ms_max": round(max(seconds for seconds, _ in answers) * 1000),
        "runs_command_cpu_ms": round(statistics.median(cpu for _, cpu in answers) * 1000),
        "runs_command_without_monitor_s": round(without_s, 1),
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _fill(broker: Broker, full: int, runs: int) -> None:
    """Append everything as it is: the sample has its own guards of endings."""
    bus = await Bus.connect(broker.settings, "bench")
    sender = Sender(bus.connection)
    batch: list[Outgoing] = []
    for message in _messages(full, runs):
        batch.append(bus.prepare(message))
        if len(batch) == _BATCH:
            await sender.send(batch)
            batch = []
    if batch:
        await sender.send(batch)
    await bus.close()


def _messages(full: int, runs: int) -> Iterator[Message]:
    for number in range(runs):
        yield from run_messages(number) if number < full else brief_run_messages(number)


def _knows(wire: Wire, sequence: int) -> bool:
    try:
        return bool(ask(wire, "hashes")["sequence"] >= sequence)
    except WireError:
        return False


def _rebuild(wire: Wire) -> dict[str, float]:
    """One rebuild to the live projector's sequence."""
    live = ask(wire, "hashes")
    cpu = time.process_time()
    projector, progress = rebuild(wire, Until(sequence=live["sequence"]))
    return {
        "events_per_s": progress.events_per_s,
        "cpu_us": (time.process_time() - cpu) / progress.num_read * 1e6,
        "decoded": projector.num_applied,
        "equal": {name: projector.digest(name) for name in projector.names} == live["hashes"],
    }


def _runs(broker: Broker) -> tuple[float, float]:
    """Seconds that the process takes, from its start to its exit, and seconds of CPU."""
    environment = os.environ | {"ROPEWALK_NATS_URL": broker.settings.url}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([_ROPEWALK, "runs", "--limit", "20"], env=environment, check=True, capture_output=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _wait(condition: Callable[[], bool], within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the log or the live projector did not get there in time")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
