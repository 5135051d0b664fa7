"""Triton's gRPC protocol (KServe v2) for clients with a key: what may pass is passed on byte for byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from ropewalk.runtime.health import ListenError
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.settings import TritonSockets

_SERVICE = "/inference.GRPCInferenceService/"
_HEALTH = frozenset({"ServerLive", "ServerReady"})  # asked without a key
_READ = frozenset({"ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelInfer"})
_STREAM = "ModelStreamInfer"
_NO_KEY = "send one of this stack's API keys as metadata: authorization: Bearer <key>"
_EOF = grpc.aio.EOF
_DRAIN_S = 5.0  # for a stream that its client has left to end by itself


class GrpcDoor(grpc.GenericRpcHandler):
    """The methods that are offered; any other is unknown here."""

    def __init__(self, channel: grpc.aio.Channel, keys: KeyRing) -> None:
        self._channel = channel
        self._keys = keys
        self._draining: set[asyncio.Task[None]] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method, for grpc."""
        method = handler_call_details.method
        name = method.removeprefix(_SERVICE)
        if name not in _HEALTH | _READ | {_STREAM}:
            return None
        sent = dict(handler_call_details.invocation_metadata or ())
        known = name in _HEALTH or self._keys.key_id(str(sent.get("authorization", ""))) is not None
        if name == _STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream(method) if known else _refused_stream)
        return grpc.unary_unary_rpc_method_handler(self._unary(method) if known else _refused)

    def _unary(self, method: str) -> Any:
        ask = self._channel.unary_unary(method)

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                response: bytes = await ask(request)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            return response

        return answer

    def _stream(self, method: str) -> Any:
        open_stream = self._channel.stream_stream(method)

        async def answer(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            call: Any = open_stream()
            sending = asyncio.create_task(_send(requests, call))
            try:
                while (response := await asyncio.shield(reading := asyncio.ensure_future(call.read()))) is not _EOF:
                    yield response
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            finally:
                sending.cancel()
                if not call.done():
                    self._later(_drain(call, reading))

        return answer

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


async def _send(requests: AsyncIterator[bytes], call: Any) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async for request in requests:
            await call.write(request)
        await call.done_writing()


async def _drain(call: Any, reading: "asyncio.Future[Any]") -> None:
    """The client has gone. A cancel that meets the final response makes Triton 2.51 keep the model for ever."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            await call.done_writing()
            while await reading is not _EOF:
                reading = asyncio.ensure_future(call.read())
    except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    finally:
        call.cancel()


async def _refused(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _NO_KEY)
    raise AssertionError("abort raises")


async def _refused_stream(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    yield await _refused(b"", context)


async def serve_grpc(
    sockets: TritonSockets,
    keys: KeyRing,
    address: str,
    *,
    max_message_bytes: int,
    max_streams: int,
    grace_s: float = _DRAIN_S,
) -> None:
    """Serve until cancelled, then let requests that run go on for `grace_s`. Raises ListenError."""
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.per_message_decompression", 0),  # a few bytes may not become gigabytes
        ("grpc.so_reuseport", 0),
    ]
    async with grpc.aio.insecure_channel(f"unix:{sockets.grpc}") as channel:
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=max_streams)
        server.add_generic_rpc_handlers((GrpcDoor(channel, keys),))
        try:
            server.add_insecure_port(address)
        except RuntimeError:
            raise ListenError(f"cannot listen on {address}: set ROPEWALK_SERVING_TRITON_GRPC to a free port") from None
        await server.start()
        try:
            await server.wait_for_termination()
        finally:
            await server.stop(grace_s)
