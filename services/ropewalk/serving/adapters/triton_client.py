"""Triton as an Inference port: one gRPC stream per request, explicit loading, repair of a dead stub."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from ropewalk.runtime.own_folder import make_own_folder
from ropewalk.serving.adapters.repository import ModelRepository
from ropewalk.serving.adapters.triton_control import ModelControl
from ropewalk.serving.adapters.triton_pulse import ModelPulse, means_dead
from ropewalk.serving.adapters.triton_repair import Repairs
from ropewalk.serving.adapters.triton_stream import CompletionStream
from ropewalk.serving.adapters.triton_wire import pulse_of, request_of
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import BackendGoneError
from ropewalk.serving.ports import ModelToLoad, Repaired
from ropewalk.serving.settings import Settings

logger = logging.getLogger(__name__)

_PULSE_S = 3.0  # for an answer to the question whether the model lives


class TritonInference:
    """One Triton server. Use as an async context manager: the channel lives as long."""

    def __init__(self, settings: Settings, on_repaired: Repaired) -> None:
        self._settings = settings
        self._repository = ModelRepository(settings.repository, settings.triton.num_slots)
        self._on_repaired = on_repaired
        self._ours = not settings.triton.variant  # our own backend, which knows our extensions
        self._pulses: dict[str, ModelPulse] = {}  # by target; one of an earlier load is replaced
        self._background: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks only weakly

    async def __aenter__(self) -> "TritonInference":
        sockets = self._settings.sockets
        make_own_folder(self._settings.triton_dir)
        make_own_folder(sockets.folder)
        options = [
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_concurrent_streams", 1 << 16),
        ]
        self._channel = grpc.aio.insecure_channel(f"unix:{sockets.grpc}", options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._control = ModelControl(self._stub)
        self._repairs = Repairs(self._control, self._on_repaired)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._repairs.close()
        for task in self._background:
            task.cancel()
        await self._channel.close()

    async def generate(self, target: str, generation: Generation) -> AsyncGenerator[Piece, None]:
        """See Inference.generate."""
        pulse = self._pulse(target)
        stream = CompletionStream(self._stub, request_of(target, generation, extensions=self._ours), pulse.heard)
        try:
            async with pulse.followed_by(stream), contextlib.aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        except BackendGoneError as error:
            if means_dead(str(error)):
                pulse.end(str(error))
            raise
        finally:
            if not stream.ended:
                self._later(stream.wind_down(ask=self._ours))

    async def load(self, entry: ModelToLoad) -> None:
        """See Inference.load."""
        self._repairs.forget(entry.target)
        if await self._control.finished(entry.target) and await asyncio.to_thread(self._repository.holds, entry):
            return
        await asyncio.to_thread(self._repository.write, entry)
        await self._control.load(entry.target)

    async def unload(self, target: str) -> None:
        """See Inference.unload."""
        self._repairs.forget(target)
        await self._control.unload(target)

    async def loaded(self) -> frozenset[str]:
        """See Inference.loaded. A model under repair counts: it comes back by itself."""
        ready = await self._control.ready()
        for target in ready - self._repairs.targets:
            self._later(self._pulse(target).look_if_idle())
        return ready | self._repairs.targets

    def _pulse(self, target: str) -> ModelPulse:
        """That of the present load."""
        number = self._control.num_loads[target]
        pulse = self._pulses.get(target)
        if pulse is None or pulse.is_over or pulse.number != number:

            def on_end(cause: str) -> None:
                self._repairs.needed(target, cause, number)

            pulse = ModelPulse(lambda: self._ask(target), number, self._settings.triton.idle_s, on_end)
            self._pulses[target] = pulse
        return pulse

    async def _ask(self, target: str) -> str | None:
        """What the model's process answers to a pulse, a refusal included; None when nothing comes."""
        question = pulse_of(target) if self._ours else request_of(target, Generation(), extensions=False)
        asking = CompletionStream(self._stub, question, lambda: None)
        try:
            async with asyncio.timeout(_PULSE_S):
                return await asking.first_answer()
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return None
        finally:
            if not asking.ended:
                await asking.wind_down(ask=False)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
