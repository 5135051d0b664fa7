"""The processes under fire: several instances of every service, each behind a network of its own that can be cut."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from chaos.pipeline import SERVICES
from chaos.proxy import Networks

from ropewalk.bus.settings import NatsSettings

TESTS = Path(__file__).parents[1]
POOL = "chaos"
CAPACITY_CPUS = 3.0  # less than all stages together want, so that some wait


@dataclass(kw_only=True)
class Instance:
    """One instance of a service. It keeps its name and its network when it is started again."""

    service: str
    number: int
    network: int
    process: subprocess.Popen[bytes] | None = None
    num_starts: int = 0
    doomed: bool = False  # a fault is ending it and will start it again; no other one may

    @property
    def name(self) -> str:
        return f"{self.service}-{self.number}"

    @property
    def is_up(self) -> bool:
        return not self.doomed and self.process is not None and self.process.poll() is None


class Stack:
    """Starts, finds and ends the instances. The caller owns the broker."""

    def __init__(self, folder: Path, settings: NatsSettings, lease_ttl_s: float, per_service: int) -> None:
        self.folder = folder
        names = [(service, number) for number in range(per_service) for service in SERVICES]
        self.instances = [
            Instance(service=service, number=number, network=network) for network, (service, number) in enumerate(names)
        ]
        self.networks = Networks(int(settings.url.rpartition(":")[2]), len(self.instances))
        self._settings = settings
        self._environment = {
            "ROPEWALK_STATE_DIR": str(folder),
            "ROPEWALK_LEASE_TTL_S": str(lease_ttl_s),
            "ROPEWALK_POOL": POOL,
            "ROPEWALK_CAPACITY_CPUS": str(CAPACITY_CPUS),
            "PYTHONPATH": str(TESTS),
        }

    def start(self) -> None:
        """Start every instance."""
        (self.folder / "effects").mkdir(parents=True)
        for instance in self.instances:
            self.start_instance(instance)

    def start_instance(self, instance: Instance) -> None:
        """Start an instance that is down."""
        instance.num_starts += 1
        instance.doomed = False
        environment = self._environment | {
            "ROPEWALK_NATS_URL": f"nats://127.0.0.1:{self.networks.ports[instance.network]}",
            "ROPEWALK_NATS_USER": self._settings.user,
            "ROPEWALK_NATS_PASSWORD": self._settings.password,
            "ROPEWALK_INSTANCE": f"{instance.name}-{instance.num_starts}",
        }
        with (self.folder / f"{instance.name}.log").open("ab") as log:
            command = [sys.executable, "-m", "chaos", instance.service]
            instance.process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)

    def workers(self) -> list[int]:
        """The child processes of all services: those that lead or belong to a group of their own."""
        found: list[int] = []
        for instance in self.instances:
            if instance.process is None or instance.process.poll() is not None:
                continue
            try:
                children = psutil.Process(instance.process.pid).children(recursive=True)
                found += [child.pid for child in children if os.getpgid(child.pid) != os.getpgid(0)]
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        return sorted(found)

    async def end(self) -> None:
        """Stop everything for good, whatever state it is in."""
        processes = [instance.process for instance in self.instances if instance.process is not None]
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await asyncio.to_thread(_wait, processes)
        self.networks.stop()


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
