"""Request logs on a real bus: killed on either side in any order, every row is in the log once."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ropewalk.bus.bus import Bus
from ropewalk.events.serving import RequestLogBatch

# Puts a row a millisecond, says its number, and publishes; a number of rows on the command line, then it only sends.
SENDER = """
import asyncio, sys
from pathlib import Path
from ropewalk.events.serving import RequestLog
from ropewalk.bus.bus import Bus
from ropewalk.runtime.settings import NatsSettings
from ropewalk.serving.adapters.request_log import RequestLogPublisher
from ropewalk.serving.adapters.spool import Spool

def a_row(number):
    return RequestLog(
        time="2026-01-01T00:00:00.000+00:00", request_id=f"cmpl-{number}", trace_id="", key_id="demo", model="demo",
        model_version=1, run_id=f"run-{number % 3}", checkpoint_id="c", route="completions", status=200,
        finish_reason="stop", stream=False, latency_ms=1.0, ttft_ms=1.0, prompt_tokens=1, completion_tokens=1,
        prompt="p" * 300, completion="c", logprob_mean=-1.0, error="",
    )

async def main(folder, url, first, last):
    sink = RequestLogPublisher(Spool(Path(folder), 1 << 30, 1000))
    bus = await Bus.connect(NatsSettings(url=url, user="test", password="test-password"), "serving")
    sending = asyncio.create_task(sink.run(bus))
    for number in range(int(first), int(last)):
        sink.put(a_row(number))
        print(number, flush=True)
        await asyncio.sleep(0.001)
    await sending

asyncio.run(main(*sys.argv[1:]))
"""


async def a_sender(server: Any, folder: Path, first: int, last: int) -> asyncio.subprocess.Process:
    arguments = ("-c", SENDER, str(folder), server.settings.url, str(first), str(last))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)


async def until_said(sender: asyncio.subprocess.Process, number: int) -> None:
    assert sender.stdout is not None
    async with asyncio.timeout(60):
        while int(await sender.stdout.readline()) < number:
            pass


async def kill(sender: asyncio.subprocess.Process, said: int) -> int:
    """Kill it and return the last number it has said, `said` or a later one."""
    assert sender.stdout is not None
    os.kill(sender.pid, signal.SIGKILL)
    later = (await sender.stdout.read()).split()
    await sender.wait()
    return int(later[-1]) if later else said


async def in_the_log(bus: Bus) -> Counter[int]:
    found: Counter[int] = Counter()
    async for stored in bus.read(f"{RequestLogBatch.subject_prefix()}.*", stream="INFER"):
        assert isinstance(stored.message, RequestLogBatch)
        found.update(int(row.request_id.removeprefix("cmpl-")) for row in stored.message.rows)
    return found


async def test_rows_survive_a_kill_of_serving_while_the_broker_is_away(nats_server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "request-log"
    first = await a_sender(nats_server, folder, 0, 1_000_000)
    await until_said(first, 300)
    nats_server.stop()  # in the middle of a batch, most likely
    await until_said(first, 1500)
    taken = await kill(first, 1500)
    second = await a_sender(nats_server, folder, 1_000_000, 1_000_100)
    nats_server.start()
    bus = await Bus.connect(nats_server.settings, "test")
    wanted = set(range(taken + 1)) | set(range(1_000_000, 1_000_100))
    async with asyncio.timeout(60):
        while not wanted <= set(found := await in_the_log(bus)):
            await asyncio.sleep(0.1)
    await kill(second, 0)
    await bus.close()
    assert set(found.values()) == {1}
    assert len(found) <= len(wanted) + 1


async def test_a_sender_that_is_killed_again_and_again_doubles_nothing(nats_server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "request-log"
    taken: set[int] = set()
    for start in range(0, 5000, 1000):
        sender = await a_sender(nats_server, folder, start, start + 1000)
        said = start + 250 + start // 10
        await until_said(sender, said)
        taken |= set(range(start, await kill(sender, said) + 1))
    last = await a_sender(nats_server, folder, 9000, 9001)
    bus = await Bus.connect(nats_server.settings, "test")
    async with asyncio.timeout(60):
        while not taken | {9000} <= set(found := await in_the_log(bus)):
            await asyncio.sleep(0.1)
    await kill(last, 0)
    await bus.close()
    assert set(found.values()) == {1}
