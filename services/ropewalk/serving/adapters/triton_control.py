"""Which models Triton has: loading, unloading, asking. Only this module does, and only through the private socket.

A load has no deadline: large weights take what they take, and a client that gives up leaves Triton loading. What ends
the wait is the answer, or a server that says nothing any more.
"""

import asyncio
from collections import defaultdict
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from ropewalk.serving.adapters.triton_stream import said
from ropewalk.serving.errors import BackendGoneError, LoadFailedError

_LOOK_S = 1.0  # between two questions whether the server is still there
_ANSWER_S = 10.0  # asking what is loaded is quick, also while something is being loaded
_SILENT_S = 60.0  # a server that says nothing for so long is gone, and the load with it
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class ModelControl:
    """The models of one server. `stub` speaks KServe v2."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.num_loads: defaultdict[str, int] = defaultdict(int)  # by target: what was seen broken may be new by now

    async def finished(self, target: str) -> bool:
        """Wait for a load that is under way, as this service asked for before it was restarted.

        Returns whether there was one and it ended well. Raises BackendGoneError.
        """
        was_loading = False
        while (state := (await self._states()).get(target)) == "LOADING":
            was_loading = True
            await asyncio.sleep(_LOOK_S)
        return was_loading and state == "READY"

    async def load(self, target: str) -> None:
        """Load or load again; returns when it can answer. Raises LoadFailedError with the reason, BackendGoneError."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=target)
        loading = asyncio.ensure_future(self._stub.RepositoryModelLoad(request))
        try:
            await self._awaited(loading)
        except grpc.aio.AioRpcError as error:
            if error.code() in _GONE:
                raise BackendGoneError(said(error)) from None
            raise LoadFailedError(said(error)) from None
        finally:
            loading.cancel()
        self.num_loads[target] += 1

    async def unload(self, target: str) -> None:
        """Take no more requests for a model. Raises BackendGoneError."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=target)
        try:
            await self._stub.RepositoryModelUnload(request, timeout=_ANSWER_S)
        except grpc.aio.AioRpcError as error:
            raise BackendGoneError(said(error)) from None

    async def ready(self) -> frozenset[str]:
        """The models that Triton calls ready; one whose stub has died is among them. Raises BackendGoneError."""
        return frozenset(target for target, state in (await self._states()).items() if state == "READY")

    async def _awaited(self, loading: "asyncio.Future[Any]") -> None:
        """Raises what the load raises, and BackendGoneError when the server has been silent for a minute."""
        silent_s = 0.0
        while not (await asyncio.wait((loading,), timeout=_LOOK_S))[0]:
            try:
                await self._states()
                silent_s = 0.0
            except BackendGoneError:
                silent_s += _LOOK_S + _ANSWER_S
                if silent_s > _SILENT_S:
                    raise
        await loading

    async def _states(self) -> dict[str, str]:
        try:
            index = await self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=_ANSWER_S)
        except grpc.aio.AioRpcError as error:
            raise BackendGoneError(said(error)) from None
        return {model.name: model.state for model in index.models}
