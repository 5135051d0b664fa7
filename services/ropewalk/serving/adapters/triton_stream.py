"""One completion on a gRPC stream of its own.

A stub that dies leaves its streams silent for ever, so every stream has an idle timer. Streams are always read to
their end, also when the client goes away: a gRPC cancel that meets the final response makes Triton 2.51 keep the
model for ever, so the backend is asked to end the request, and the call is only cancelled when that has no effect.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc

from ropewalk.serving.adapters.triton_wire import cancel_of, error_of, piece_of
from ropewalk.serving.domain.generation import Piece
from ropewalk.serving.errors import BackendGoneError, OverloadedError

_WIND_DOWN_S = 5.0


class CompletionStream:
    """A request that was not sent yet. `is_alive` asks whether the model's stub still answers."""

    def __init__(self, stub: Any, request: Any, idle_s: float, is_alive: Callable[[], Awaitable[bool]]) -> None:
        self._call = stub.ModelStreamInfer()
        self._request = request
        self._idle_s = idle_s
        self._is_alive = is_alive
        self._reading: asyncio.Future[Any] | None = None
        self.ended = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Send the request and yield what comes. Raises BackendError. Call `wind_down` afterwards if not `ended`."""
        try:
            await self._call.write(self._request)
            while (response := await self._next()) is not grpc.aio.EOF:
                if response.error_message:
                    await self._finish()
                    raise error_of(response.error_message)
                piece = piece_of(response)
                if piece is None:
                    continue
                if piece.finish_reason:
                    await self._finish()
                yield piece
                if piece.finish_reason:
                    return
        except grpc.aio.AioRpcError as error:
            self.ended = True
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise OverloadedError(said(error)) from None
            raise BackendGoneError(said(error)) from None
        except asyncio.InvalidStateError:
            self.ended = True
            raise BackendGoneError("the connection to Triton broke") from None

    async def wind_down(self, *, ask: bool) -> None:
        """End an unfinished stream in order: `ask` the backend to end the request, else just cancel the call."""
        try:
            if ask:
                async with asyncio.timeout(_WIND_DOWN_S):
                    await self._call.write(cancel_of(self._request))
                    await self._finish()
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return
        finally:
            self._call.cancel()
            if self._reading is not None:
                self._reading.cancel()

    async def first_error(self) -> str:
        """Send the request and return the error it is answered with, for requests made to fail."""
        await self._call.write(self._request)
        response = await self._call.read()
        await self._finish()
        return "" if response is grpc.aio.EOF else str(response.error_message)

    async def _finish(self) -> None:
        await self._call.done_writing()
        while await self._read() is not grpc.aio.EOF:
            pass
        self.ended = True

    async def _next(self) -> Any:
        """The next message; a silent stream is given up when the stub does not answer either."""
        reading = self._reading = self._reading or asyncio.ensure_future(self._call.read())
        while not (await asyncio.wait((reading,), timeout=self._idle_s))[0]:
            if not await self._is_alive():
                raise BackendGoneError("the Stub process of the model does not answer any more")
        return await self._read()

    async def _read(self) -> Any:
        """Goes on with a read that was left: cancelling it would cancel the call."""
        reading = self._reading or asyncio.ensure_future(self._call.read())
        response = await asyncio.shield(reading)
        self._reading = None
        return response


def said(error: grpc.aio.AioRpcError) -> str:
    """The text of a gRPC error."""
    return error.details() or error.code().name
