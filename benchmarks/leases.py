"""Many runs in the log, many leases at once: what heartbeats cost, how fast `ropewalk runs` answers. Prints JSON.

CPU is in percent of one core. The cost of a heartbeat is what the processes use with their leases, less what they use
with none; client and server are given separately.

python benchmarks/leases.py [--runs 10000] [--leases 200] [--holders 7] [--seconds 20]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
from machine import describe
from parts.broker import Broker, running_broker

from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted, RunCompleted, RunEnding, StageCompleted, StageStarted, SubmitRun
from ropewalk.projections.asking import ProjectorError, ask
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.runtime.bulk import address_of
from ropewalk.runtime.bus import Bus, Outgoing
from ropewalk.runtime.wire import NoResponderError, Wire, open_wire

_SCRIPT = Path(__file__).parent / "parts" / "lease_holder.py"
_PROJECTOR = Path(__file__).parent / "parts" / "projector.py"
_ROPEWALK = Path(sys.executable).parent / "ropewalk"
_STAGES = ("ingest", "preprocess", "search", "train", "export", "evaluate")
_BATCH = 900  # messages; JetStream takes at most 1000 in one batch
_ANSWERS = 7
_LIMIT = 20


def main() -> None:
    """Fill the log, hold the leases, ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--leases", type=int, default=200)
    parser.add_argument("--holders", type=int, default=7, help="processes that share the leases, one per service")
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with running_broker() as broker:
        began = time.monotonic()
        messages = asyncio.run(_fill(broker, options.runs))
        filled_s = time.monotonic() - began
        idle = _cpu(broker, options, 0)
        busy = _cpu(broker, options, options.leases)
        command, answer, ready_s = _runs(broker)
    client, server = busy["client"] - idle["client"], busy["server"] - idle["server"]
    result = {
        "runs": options.runs,
        "messages": messages,
        "fill_messages_per_s": round(messages / filled_s),
        "leases": options.leases,
        "lease_ttl_s": options.ttl,
        "holders": options.holders,
        "idle_cpu_percent": {name: round(value, 2) for name, value in idle.items()},
        "holding_cpu_percent": {name: round(value, 2) for name, value in busy.items()},
        "heartbeats_client_cpu_percent": round(client, 2),
        "heartbeats_server_cpu_percent": round(server, 2),
        "heartbeats_cpu_percent": round(client + server, 2),
        "bar_cpu_percent": 5.0,
        "projector_ready_s": round(ready_s, 2),
        "runs_command_s": _spread(command),
        "runs_answer_s": _spread(answer),
    }
    print(json.dumps({"machine": describe(), **result}, indent=1))


async def _fill(broker: Broker, num_runs: int) -> int:
    bus = await Bus.connect(broker.settings, "fill")
    batch: list[Outgoing] = []
    written = 0
    for number in range(num_runs):
        batch += _run(bus, f"run-{number}")
        if len(batch) > _BATCH or number == num_runs - 1:
            await _send(bus, batch)
            written += len(batch)
            batch = []
    await _mirrored(bus)
    await bus.close()
    return written


async def _mirrored(bus: Bus) -> None:
    """Wait until the mirror has everything, so that its work is not taken for that of heartbeats."""
    context = bus.connection.jetstream(timeout=30)
    while (await context.stream_info("AUDIT")).state.last_seq < (await context.stream_info("CONTROL")).state.last_seq:
        await asyncio.sleep(0.2)


def _run(bus: Bus, run_id: str) -> Iterator[Outgoing]:
    """What a run without trouble leaves in the log of requests and facts about runs."""
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    completed = RunCompleted(run_id=run_id, outcome="promoted", model="pycode", model_version=1)
    ending = bus.prepare(completed, cause_id=run_id)
    messages: list[Message] = [
        SubmitRun(run_id=run_id, recipe={"base": "python-stdlib-tiny"}),
        RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()),
    ]
    for epoch, stage in enumerate(_STAGES, start=1):
        messages.append(StageStarted(run_id=run_id, stage=stage, epoch=epoch, attempt=1))
        messages.append(StageCompleted(run_id=run_id, stage=stage, epoch=epoch, seconds=1.0))
    messages.append(RunEnding(run_id=run_id, kind="completed", event_id=ending.headers["ce-id"]))
    for index, message in enumerate(messages):
        yield bus.prepare(message, cause_id=run_id, key=str(index))
    yield ending


async def _send(bus: Bus, batch: Sequence[Outgoing]) -> None:
    """One atomic batch: the first and the last message are answered, those between are not."""
    batch_id = uuid.uuid4().hex
    for index, outgoing in enumerate(batch, start=1):
        headers = outgoing.headers | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(index)}
        if index in (1, len(batch)):
            headers |= {"Nats-Batch-Commit": "1"} if index == len(batch) else {}
            answer = await bus.connection.request(outgoing.subject, outgoing.body, timeout=30, headers=headers)
            if answer.data and (error := json.loads(answer.data).get("error")):
                raise RuntimeError(f"the batch was refused: {error}")
        else:
            await bus.connection.publish(outgoing.subject, outgoing.body, headers=headers)


def _cpu(broker: Broker, options: argparse.Namespace, num_leases: int) -> dict[str, float]:
    """CPU of the holders and of the server while `num_leases` are held."""
    environment = _environment(broker, ROPEWALK_LEASE_TTL_S=str(options.ttl))
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
    before = _seconds([holder.pid for holder in holders]), _seconds([broker.pid])
    time.sleep(options.seconds)
    after = _seconds([holder.pid for holder in holders]), _seconds([broker.pid])
    for holder in holders:
        output, _ = holder.communicate()
        assert output == "lost 0\n", output
    client, server = (100 * (now - then) / options.seconds for then, now in zip(before, after, strict=True))
    return {"client": client, "server": server}


def _seconds(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(used.user + used.system for used in times)


def _runs(broker: Broker) -> tuple[list[float], list[float], float]:
    """Seconds of `ropewalk runs`, of its answer alone, and until the projections were built."""
    environment = _environment(broker)
    began = time.monotonic()
    projector = subprocess.Popen([sys.executable, _PROJECTOR], env=environment)
    try:
        with open_wire(address_of(broker.settings)) as wire:
            while not _is_answered(wire):
                time.sleep(0.05)
            ready_s = time.monotonic() - began
            answer = [_timed(lambda: ask(wire, "run_list", limit=_LIMIT)) for _ in range(_ANSWERS)]
        run = partial(subprocess.run, [_ROPEWALK, "runs"], env=environment, check=True, capture_output=True)
        command = [_timed(run) for _ in range(_ANSWERS)]
    finally:
        projector.kill()
        projector.wait()
    return command, answer, ready_s


def _is_answered(wire: Wire) -> bool:
    try:
        ask(wire, "run_list", limit=1)
    except (NoResponderError, ProjectorError):
        return False
    return True


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 4),
        "min": round(min(seconds), 4),
        "max": round(max(seconds), 4),
    }


def _environment(broker: Broker, **settings: str) -> dict[str, str]:
    found = {"ROPEWALK_NATS_URL": broker.settings.url, "ROPEWALK_STATE_DIR": str(broker.folder / "state")}
    return os.environ | found | settings


if __name__ == "__main__":
    main()
