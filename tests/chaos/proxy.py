"""A network that can be cut: between one service and the broker, on loopback."""

import asyncio
import contextlib


class Proxy:
    """Passes bytes on until it is cut. While it is cut it swallows them without closing anything, as a network does
    that drops packets; once healed the old connections are reset, because their bytes are gone."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut = False

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        self.reset()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Swallow everything from now on."""
        self._cut = True

    def heal(self) -> None:
        """Let new connections through; the old ones are broken."""
        self._cut = False
        self.reset()

    def reset(self) -> None:
        """Break every connection at once."""
        for writer in [*self._writers]:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(back)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back))
                tasks.create_task(self._pump(there, writer))
            self._writers.discard(back)
        except OSError:
            pass  # the broker is down: the client sees its connection close
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._cut:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
