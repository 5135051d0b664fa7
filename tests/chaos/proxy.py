"""Networks that can be cut: one between each service and the broker, on loopback, in a process of their own.

`python -m chaos.proxy PORT NUMBER` prints the ports it listens on and obeys lines like `drop 3` on its input.
"""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

from ropewalk.drills.proxy import CutProxy

_DELAY_S = 0.25


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
        """`drop` what one of them carries, `delay` or `reset` it, or `heal` it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {number}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


def _obey(proxy: CutProxy, command: str) -> None:
    match command:
        case "drop" | "reset":
            proxy.cut(command)
        case "delay":
            proxy.cut("delay", _DELAY_S)
        case "heal":
            proxy.heal()


async def _main(target_port: int, number: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(CutProxy("127.0.0.1", target_port)) for _ in range(number)]
        print(*(proxy.port for proxy in proxies), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, index = line.split()
            _obey(proxies[int(index)], command)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
