"""A log with sample runs on a real server, and the monitor's projector in a process that can be killed."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ropewalk.bus.bulk import address_of, stream_ends
from ropewalk.bus.bus import Bus
from ropewalk.bus.sending import Sender
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import NoResponderError, Wire, WireError
from ropewalk.events.base import Message
from ropewalk.projections.asking import ask

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def sample_run(load_script: Callable[[Path], ModuleType]) -> Callable[[int], list[Message]]:
    """The messages of a sample run by its number."""
    module = load_script(ROOT / "benchmarks" / "parts" / "sample_log.py")
    return lambda number: list(module.run_messages(number))


async def write(settings: NatsSettings, messages: Iterable[Message]) -> None:
    """Append messages to the log in one batch, just as they are."""
    bus = await Bus.connect(settings, "test")
    try:
        await Sender(bus.connection).send([bus.prepare(message) for message in messages])
    finally:
        await bus.close()


@pytest.fixture
def append(nats_server) -> Callable[[Iterable[Message]], int]:
    """Appends messages to the log, waits for its copy, and returns the last sequence."""

    def appended(messages: Iterable[Message]) -> int:
        asyncio.run(write(nats_server.settings, messages))
        with Wire(address_of(nats_server.settings)) as wire:
            last = stream_ends(wire, "CONTROL").last
            eventually(lambda: stream_ends(wire, "AUDIT").last == last)
        return last

    return appended


@pytest.fixture
def wire(nats_server) -> Iterator[Wire]:
    """A blocking connection."""
    with Wire(address_of(nats_server.settings)) as connected:
        yield connected


class LiveProcess:
    """The projector's process."""

    def __init__(self, settings: NatsSettings, folder: Path) -> None:
        self.settings = settings
        self.snapshot = folder / "snapshot.json"
        self.log = folder.parent / "projector.log"
        self._arguments = [settings.model_dump_json(), str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its first answer."""
        script = ROOT / "benchmarks" / "parts" / "live_projector.py"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, script, *self._arguments], stdout=log, stderr=log)
        eventually(self.answers)

    def answers(self) -> bool:
        """Whether it knows the log by now."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            with Wire(address_of(self.settings)) as wire:
                return bool(ask(wire, "hashes"))
        except (NoResponderError, WireError):
            return False

    def freeze(self) -> None:
        """SIGSTOP: it listens and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None


@pytest.fixture
def live(nats_server, tmp_path) -> Iterator[LiveProcess]:
    """The projector's process, not started yet."""
    process = LiveProcess(nats_server.settings, tmp_path / "projections")
    yield process
    process.kill()


def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., None]:
    """Waits for a condition."""
    return eventually
