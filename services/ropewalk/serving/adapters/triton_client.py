"""Triton as an Inference port: one gRPC stream per request, explicit loading, repair of a dead stub.

A stub that dies leaves its streams silent for ever while Triton calls the model ready. So every stream has an idle
timer; when it rings, a probe that never waits in the engine's queue asks whether the stub lives; if not, the model
is unloaded, waited for and loaded again, once for all who noticed.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ropewalk.runtime.sockets import claim
from ropewalk.serving.adapters.repository import ModelRepository
from ropewalk.serving.adapters.triton_stream import CompletionStream, said
from ropewalk.serving.adapters.triton_wire import error_of, request_of
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import BackendGoneError, LoadFailedError, RequestRefusedError
from ropewalk.serving.ports import Entry
from ropewalk.serving.settings import Settings

logger = logging.getLogger(__name__)

_PROBE_S = 3.0
_ADMIN_S = 60.0
_UNLOAD_S = 15.0
_PAUSE_S = 1.0  # between unload and load: Triton still takes down the dead stub
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

Repaired = Callable[[str, str, float], Awaitable[None]]  # target, cause, seconds


class TritonInference:
    """One Triton server. Use as an async context manager: the channel lives as long."""

    def __init__(self, settings: Settings, on_repaired: Repaired) -> None:
        self._settings = settings
        self._repository = ModelRepository(settings.repository, settings.triton.num_slots)
        self._on_repaired = on_repaired
        self._ours = not settings.triton.variant  # our own backend, which knows our extensions
        self._repairs: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._generations: defaultdict[str, int] = defaultdict(int)  # loads so far: who repairs what he saw broken
        self._repairing: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "TritonInference":
        sockets = self._settings.sockets
        claim(sockets.folder)
        options = [
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_concurrent_streams", 1 << 16),
        ]
        self._channel = grpc.aio.insecure_channel(
            f"unix:{claim(self._settings.sockets.folder)}/{self._settings.sockets.grpc.name}", options=options
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._background:
            task.cancel()
        await self._channel.close()

    async def generate(self, target: str, generation: Generation) -> AsyncGenerator[Piece, None]:
        """See Inference.generate."""
        seen = self._generations[target]
        request = request_of(target, generation, extensions=self._ours)
        stream = CompletionStream(self._stub, request, self._settings.triton.idle_s, lambda: self._stub_answers(target))
        broken = False
        try:
            async with contextlib.aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        except BackendGoneError as error:
            broken = "Stub process" in str(error) or "engine" in str(error)
            if broken:
                self._later(self._try_repair(target, str(error), seen))
            raise
        finally:
            if not stream.ended:
                self._later(stream.wind_down(ask=self._ours and not broken))

    async def load(self, entry: Entry) -> None:
        """See Inference.load."""
        await asyncio.to_thread(self._repository.write, entry)
        await self._load(entry.target)

    async def unload(self, target: str) -> None:
        """See Inference.unload."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=target)
        await self._call(self._stub.RepositoryModelUnload, request)

    async def loaded(self) -> frozenset[str]:
        """See Inference.loaded. A model under repair counts: it comes back by itself."""
        return await self._ready() | frozenset(self._repairing)

    async def _ready(self) -> frozenset[str]:
        index = await self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(ready=True))
        return frozenset(model.name for model in index.models if model.state == "READY")

    async def repair(self, target: str, cause: str, seen: int) -> None:
        """Unload, wait, load; unless somebody did since `seen`. Raises BackendError when that does not help."""
        async with self._repairs[target]:
            if self._generations[target] != seen:
                return
            started = time.monotonic()
            logger.warning("repairing %s: %s", target, cause)
            self._repairing.add(target)
            try:
                await self.unload(target)
                async with asyncio.timeout(_UNLOAD_S):
                    while target in await self._ready():
                        await asyncio.sleep(0.1)
                await asyncio.sleep(_PAUSE_S)
                await self._load(target)
            finally:
                self._repairing.discard(target)
        await self._on_repaired(target, cause, time.monotonic() - started)

    async def _load(self, target: str) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=target)
        try:
            await self._stub.RepositoryModelLoad(request, timeout=_ADMIN_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in _GONE:
                raise BackendGoneError(said(error)) from None
            raise LoadFailedError(said(error)) from None
        self._generations[target] += 1

    async def _stub_answers(self, target: str) -> bool:
        """An empty prompt is refused by the stub at once, however long the engine's queue is."""
        probe = CompletionStream(self._stub, request_of(target, Generation(), extensions=False), _PROBE_S, _never)
        try:
            async with asyncio.timeout(_PROBE_S):
                return isinstance(error_of(await probe.first_error()), RequestRefusedError)
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        finally:
            if not probe.ended:
                await probe.wind_down(ask=False)

    async def _try_repair(self, target: str, cause: str, seen: int) -> None:
        try:
            await self.repair(target, cause, seen)
        except (BackendGoneError, LoadFailedError, TimeoutError) as error:
            logger.error("could not repair %s: %s", target, error)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=_ADMIN_S)
        except grpc.aio.AioRpcError as error:
            raise BackendGoneError(said(error)) from None


async def _never() -> bool:
    return False
