"""Reads the JSON body of a request, within bounds of size for one and for all together."""

from typing import Any

import orjson
from starlette.requests import Request

from ropewalk.events.foreign import one_line
from ropewalk.serving.adapters.gateway.errors import ApiError

_ALL_TOGETHER = 64  # largest bodies that may lie in memory at once
_SMALL_BYTES = 64 * 1024  # who sends no more than this is not kept out by those who do


class Bodies:
    """The bodies that are being read. Lives on one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0  # of all bodies that are being read

    async def read(self, request: Request) -> Any:
        """The decoded body. Raises ApiError, ClientDisconnect.

        A body that is announced as too large is refused before it is sent; the connection's own patience ends it.
        """
        if request.headers.get("content-encoding", "identity") != "identity":
            coding = one_line(request.headers["content-encoding"])
            raise ApiError(415, f"the body is encoded as {coding!r}: send it plain", code="unsupported_encoding")
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise self._too_large()
        try:
            return orjson.loads(await self._collected(request))
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None

    async def _collected(self, request: Request) -> bytes:
        content = bytearray()
        try:
            async for chunk in request.stream():
                content += chunk
                self._held_bytes += len(chunk)
                if len(content) > self._max_bytes:
                    raise self._too_large()
                if len(content) > _SMALL_BYTES and self._held_bytes > _ALL_TOGETHER * self._max_bytes:
                    raise ApiError(429, "too much is being sent: try again in a moment", code="overloaded", retry_s=1)
            return bytes(content)
        finally:
            self._held_bytes -= len(content)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body is larger than {self._max_bytes} bytes", code="request_too_large")
