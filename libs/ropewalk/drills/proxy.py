"""A TCP proxy that can be told to misbehave: the network between one client and one server, under our control.

A connection that lost bytes cannot go on (its protocol has a hole), so healing resets the connections that did,
as a network does whose state was lost. It knows nothing about NATS.
"""

import asyncio
import contextlib
from typing import Literal

Mode = Literal["pass", "drop", "reset", "delay"]
_PIECE = 64 * 1024


class _Link:
    """One connection through the proxy: two directions."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.lost_bytes = 0

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class CutProxy:
    """Listens on a free port of loopback and passes everything on to `host:port` until told otherwise.

    drop: bytes vanish, connections stay open, new ones are accepted and hear nothing. reset: connections are
    aborted, new ones at once. delay: every piece arrives `delay_s` later, in order.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mode: Mode = "pass"
        self._delay_s = 0.0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.lost_bytes = 0

    async def __aenter__(self) -> "CutProxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, mode: Literal["drop", "reset", "delay"], delay_s: float = 0.0) -> None:
        """Begin to misbehave. `delay_s` is for mode `delay`."""
        self._mode, self._delay_s = mode, delay_s
        if mode == "reset":
            for link in self._links:
                link.reset()

    def heal(self) -> None:
        """Pass everything on again."""
        self._mode = "pass"
        # Their protocol has a hole now; the others lost nothing and may stay.
        for link in self._links:
            if link.lost_bytes:
                link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "reset":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away: so is its proxy
            writer.transport.abort()
            return
        link = _Link((writer, far_writer))
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, far_writer)),
            asyncio.create_task(self._pump(link, far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            link.reset()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until either side closes."""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                if self._mode == "delay":
                    await asyncio.sleep(self._delay_s)
                if self._mode == "drop":
                    link.lost_bytes += len(piece)
                    self.lost_bytes += len(piece)
                    continue
                writer.write(piece)
                await writer.drain()
