"""Runs Python programs that a model wrote, which are a stranger's: they may be wrong, hostile, or never end.

A program has namespaces of its own, reads the standard library and nothing else, writes to a small disk of its own that
goes with it, may make the system calls of a program that computes, and has bounds on seconds, memory and files. What
this needs of Linux is tried before anything is run: where a piece is missing, nothing is run at all.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

_STARTER = Path(__file__).with_name("sandboxed.py")
_ALONE = ("--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # a program does not outlive who waits for it
_ENV = {"PATH": os.defpath, "PYTHONHASHSEED": "0"}  # the same program gives the same word
_MOST_SAID = 64
MOST_BYTES = 1 << 20  # of a program


@dataclass(frozen=True)
class Bounds:
    """Of one program. Its wall-clock time is thrice its seconds of CPU, for a machine that is busy."""

    cpu_seconds: int = 5
    memory_mb: int = 512


class Sandbox:
    """Where this machine cannot keep programs apart, none passes and `fault` says why."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds, self._tools = bounds, all(map(shutil.which, ("setpriv", "unshare")))

    @property
    def fault(self) -> str:
        """What is missing, as a sentence; empty where a program was run."""
        if self._tools and self.passes("assert True"):
            return ""
        return (
            "programs cannot be kept apart on this machine, so none was run: that takes Linux on "
            "x86-64 with Landlock, `unshare` and `setpriv`, and the right to make user namespaces, which a container "
            "often has not"
        )

    def all_pass(self, programs: Sequence[str]) -> list[bool]:
        """Which of them ran to their end, in order; as many at once as there are cores."""
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return list(pool.map(self.passes, programs))

    def passes(self, program: str) -> bool:
        """Whether it ran to its end, within the bounds and without an exception."""
        body, proof = program.encode(errors="replace"), secrets.token_hex(16).encode()
        if len(body) > MOST_BYTES:
            return False
        told = b"%d\n%s%s\n" % (len(body), body, proof)
        numbers = (str(self._bounds.cpu_seconds), str(self._bounds.memory_mb))
        command = [*_WITH_US, "unshare", *_ALONE, sys.executable, "-s", "-S", "-P", str(_STARTER), *numbers]
        with tempfile.TemporaryDirectory(prefix="ropewalk-program-") as own:
            return _said(command, told, own, 3.0 * self._bounds.cpu_seconds).strip() == proof


def _said(command: Sequence[str], told: bytes, folder: str, seconds: float) -> bytes:
    """What the process says on stdout; nothing where it cannot be started or takes too long."""
    try:
        with tempfile.TemporaryFile() as said:  # of a size: a pipe would take any number of bytes
            subprocess.run(
                command, input=told, stdout=said, stderr=DEVNULL, cwd=folder, env=_ENV, timeout=seconds, check=False
            )
            said.seek(0)
            return said.read(_MOST_SAID)
    except (OSError, subprocess.TimeoutExpired):  # run() has killed what it waited for
        return b""
