"""One completion on a gRPC stream of its own.

Streams are always read to their end, also when the client goes away: a gRPC cancel that meets the final response
makes Triton 2.51 keep the model for ever, so the backend is asked to end the request, and the call is only cancelled
when that has no effect, or when the model's process has died.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import grpc

from ropewalk.serving.adapters.triton_wire import cancel_of, error_of, piece_of
from ropewalk.serving.domain.generation import Piece
from ropewalk.serving.errors import BackendGoneError, OverloadedError

_WIND_DOWN_S = 5.0  # for a backend to end a request that nobody waits for


class CompletionStream:
    """A request that was not sent yet. `on_message` is called for everything that comes."""

    def __init__(self, stub: Any, request: Any, on_message: Callable[[], None]) -> None:
        self._call = stub.ModelStreamInfer()
        self._request = request
        self._on_message = on_message
        self._reading: asyncio.Future[Any] | None = None
        self._cause = ""  # why the model is dead, if it is: the cancelled call itself does not know
        self.ended = False

    def give_up(self, cause: str) -> None:
        """The model's process has died, so nothing will come any more: whoever reads hears it now."""
        self._cause = cause
        self.ended = True
        self._call.cancel()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Send the request and yield what comes. Raises BackendError. Call `wind_down` afterwards if not `ended`."""
        with self._in_our_words():
            await self._call.write(self._request)
            while (response := await self._read()) is not grpc.aio.EOF:
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

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            self.ended = True
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise OverloadedError(said(error)) from None
            raise BackendGoneError(self._cause or said(error)) from None
        except asyncio.InvalidStateError:
            self.ended = True
            raise BackendGoneError(self._cause or "the connection to Triton broke") from None
        except asyncio.CancelledError:
            if self._cause and not _is_being_cancelled():  # it is the call that was cancelled, by `give_up`
                raise BackendGoneError(self._cause) from None
            raise

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

    async def first_answer(self) -> str:
        """Send the request and return its first text or error, for requests that say how the model is."""
        await self._call.write(self._request)
        response = await self._read()
        if response is grpc.aio.EOF:
            self.ended = True
            return ""
        piece = None if response.error_message else piece_of(response)
        await self._finish()
        return piece.text if piece else str(response.error_message)

    async def _finish(self) -> None:
        await self._call.done_writing()
        while await self._read() is not grpc.aio.EOF:
            pass
        self.ended = True

    async def _read(self) -> Any:
        """Goes on with a read that was left: cancelling it would cancel the call."""
        reading = self._reading = self._reading or asyncio.ensure_future(self._call.read())
        response = await asyncio.shield(reading)
        self._reading = None
        self._on_message()
        return response


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def said(error: grpc.aio.AioRpcError) -> str:
    """The text of a gRPC error."""
    return error.details() or error.code().name
