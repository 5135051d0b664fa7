"""Carries the faults out: signals to real processes, cuts of real connections, messages on the real bus."""

import asyncio
import contextlib
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import nats.errors
import nats.js.errors
from chaos.faults import Fault
from chaos.history import INJECTED
from chaos.stack import Instance, Stack
from nats.aio.client import Client

T = TypeVar("T")
_PASSING = (nats.errors.Error, nats.js.errors.Error, TimeoutError)
_POISONED = (
    "cmd.run.submit.v1",
    "cmd.run.cancel.v1",
    "evt.run.accepted.v1",
    "evt.data.corpus_ingested.v1",
    "evt.data.dataset_published.v1",
    "evt.training.completed.v1",
    "evt.evaluation.gate_decided.v1",
)
_NO_WORKER_S = 30.0
_GOOD_EXITS = (0, -signal.SIGTERM, -signal.SIGKILL)  # a service that is still starting knows no better than to die
_POISON = (b"", b"not JSON", b"{}", b'{"run_id": 7}', b'["a list"]', b'{"run_id": "another"}', b"\xff\xfe")


class Broker(Protocol):
    """A nats-server that can be killed and started again."""

    def start(self) -> None: ...

    def stop(self, number: int = signal.SIGKILL) -> None: ...


class Injector:
    """Every fault runs as a task of its own, so that they overlap; what it breaks it repairs after a while."""

    def __init__(self, stack: Stack, broker: Broker, connection: Client, tell: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.bad_exits: list[str] = []
        self._stack = stack
        self._broker = broker
        self._context = connection.jetstream(timeout=2)
        self._tell = tell
        self._broker_lock = asyncio.Lock()

    async def run(self, faults: Sequence[Fault]) -> None:
        """Carry out a plan; returns when everything is whole again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(began + fault.at_s - loop.time())
                tasks.create_task(self._inject(fault))

    async def _inject(self, fault: Fault) -> None:
        handler = getattr(self, f"_{fault.kind}")
        victim = await handler(fault)
        self._tell(f"{fault}: {victim}")

    async def _kill_service(self, fault: Fault) -> str:
        return await self._end_service(fault, signal.SIGKILL)

    async def _stop_service(self, fault: Fault) -> str:
        return await self._end_service(fault, signal.SIGTERM)

    async def _end_service(self, fault: Fault, number: signal.Signals) -> str:
        instance = await self._instance(fault)
        process = instance.process
        assert process is not None
        instance.doomed = True
        process.send_signal(number)
        self.counts["kill_service" if number == signal.SIGKILL else "stop_service"] += 1
        await asyncio.to_thread(process.wait)
        if process.returncode not in _GOOD_EXITS:
            self.bad_exits.append(f"{instance.name} ended with {process.returncode} after {number.name}")
        await asyncio.sleep(fault.seconds)
        self._stack.start_instance(instance)
        return instance.name

    async def _kill_worker(self, fault: Fault) -> str:
        try:
            pid = await asyncio.wait_for(_some(self._stack.workers, fault.pick), _NO_WORKER_S)
        except TimeoutError:
            return f"{await self._kill_service(fault)}, for want of a worker"
        self.counts["kill_worker"] += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"process {pid}"

    async def _kill_broker(self, fault: Fault) -> str:
        async with self._broker_lock:
            await asyncio.to_thread(self._broker.stop)
            self.counts["kill_broker"] += 1
            await asyncio.sleep(fault.seconds)
            await self._start_broker()
        return "nats-server"

    async def _start_broker(self) -> None:
        """Start it and wait until it answers us, so that there is some life between two of its deaths."""
        await asyncio.to_thread(self._broker.start)
        while True:
            with contextlib.suppress(*_PASSING):
                await self._context.stream_info("CONTROL")
                return
            await asyncio.sleep(0.1)

    async def _kill_everything(self, fault: Fault) -> str:
        """What the crash of the whole machine does to processes."""
        async with self._broker_lock:
            victims = [instance for instance in self._stack.instances if instance.is_up]
            for instance in victims:
                assert instance.process is not None
                instance.doomed = True
                instance.process.kill()
            await asyncio.to_thread(self._broker.stop)
            self.counts["kill_everything"] += 1
            for instance in victims:
                assert instance.process is not None
                await asyncio.to_thread(instance.process.wait)
            await asyncio.sleep(fault.seconds)
            await self._start_broker()
        for instance in victims:
            self._stack.start_instance(instance)
        return "nats-server and every service"

    async def _pause_service(self, fault: Fault) -> str:
        instance = await self._instance(fault)
        process = instance.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        self.counts["pause_service"] += 1
        await asyncio.sleep(fault.seconds)
        process.send_signal(signal.SIGCONT)
        return instance.name

    async def _cut_network(self, fault: Fault) -> str:
        return await self._spoil_network(fault, "drop")

    async def _slow_network(self, fault: Fault) -> str:
        return await self._spoil_network(fault, "delay")

    async def _reset_network(self, fault: Fault) -> str:
        return await self._spoil_network(fault, "reset")

    async def _spoil_network(self, fault: Fault, mode: str) -> str:
        instance = await self._instance(fault)
        self._stack.networks.tell(mode, instance.network)
        self.counts[fault.kind] += 1
        await asyncio.sleep(fault.seconds)
        self._stack.networks.tell("heal", instance.network)
        return instance.name

    async def _duplicate(self, fault: Fault) -> str:
        """Send a random stored message again, so that the server takes it for a new one."""
        chance = random.Random(fault.pick)
        while True:
            with contextlib.suppress(*_PASSING):
                last = (await self._context.stream_info("CONTROL")).state.last_seq
                raw = await self._context.get_msg("CONTROL", chance.randint(1, max(last, 1)))
                headers = {name: value for name, value in (raw.headers or {}).items() if not name.startswith("Nats-")}
                if raw.subject.startswith(("cmd.", "evt.")) and INJECTED not in headers:
                    headers |= {"Nats-Msg-Id": str(uuid.uuid4()), INJECTED: "duplicate"}
                    await self._context.publish(raw.subject, raw.data or b"", headers=headers)
                    self.counts["duplicate"] += 1
                    return f"{raw.subject} from {raw.seq}"
            await asyncio.sleep(0.05)

    async def _poison(self, fault: Fault) -> str:
        chance = random.Random(fault.pick)
        subject = f"{chance.choice(_POISONED)}.poison-{int(fault.pick * 1e9)}"
        headers = {"Nats-Msg-Id": str(uuid.uuid4()), INJECTED: "poison"}
        while True:
            with contextlib.suppress(*_PASSING):
                await self._context.publish(subject, chance.choice(_POISON), headers=headers)
                self.counts["poison"] += 1
                return subject
            await asyncio.sleep(0.2)

    async def _instance(self, fault: Fault) -> Instance:
        return await _some(lambda: [instance for instance in self._stack.instances if instance.is_up], fault.pick)


async def _some(victims: Callable[[], list[T]], pick: float) -> T:
    """One of those there are; waits until there is one."""
    while not (found := victims()):
        await asyncio.sleep(0.02)
    return found[int(pick * len(found))]
