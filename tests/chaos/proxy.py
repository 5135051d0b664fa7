"""Networks that can be cut: one between each service and the broker, on loopback, in a process of their own.

`python -m chaos.proxy PORT NUMBER` prints the ports it listens on and obeys lines like `cut 3` on its input.
"""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path


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


class Networks:
    """The process with the proxies, as seen by the one that commands it."""

    def __init__(self, target_port: int, number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.proxy", str(target_port), str(number)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.ports = [int(port) for port in self._process.stdout.readline().split()]

    def tell(self, command: str, number: int) -> None:
        """`cut`, `heal` or `reset` one of them."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {number}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


async def _main(target_port: int, number: int) -> None:
    proxies = [Proxy(target_port) for _ in range(number)]
    for proxy in proxies:
        await proxy.start()
    print(*(proxy.port for proxy in proxies), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, index = line.split()
        {"cut": Proxy.cut, "heal": Proxy.heal, "reset": Proxy.reset}[command](proxies[int(index)])
    for proxy in proxies:
        await proxy.stop()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
