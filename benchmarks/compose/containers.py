"""The containers of one compose project, found by their labels, and what can befall them.

Nothing here calls compose: what is stopped is started again in any order, as after a reboot.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LABEL = "com.docker.compose"
_ONCE = {"volumes", "streams"}  # they do something and end
_LOOK_S = 0.25


class Project:
    """A stack by the name of its compose project."""

    def __init__(self, name: str) -> None:
        self.name = name

    def containers(self, service: str = "") -> list[str]:
        """The ids of a service; by default of all that stay."""
        return [container for container, name in self._all() if name == service or (not service and name not in _ONCE)]

    def services(self) -> list[str]:
        """The names of all that stay."""
        return sorted({name for _, name in self._all() if name not in _ONCE})

    def restart(self, service: str, grace_s: int = 30) -> None:
        """SIGTERM, then a start; returns before it is healthy."""
        docker("restart", "--time", str(grace_s), *self.containers(service))

    def stop(self, service: str = "", grace_s: int = 30) -> None:
        docker("stop", "--time", str(grace_s), *self.containers(service))

    def start(self, service: str = "") -> None:
        docker("start", *self.containers(service))

    def kill(self, service: str) -> None:
        """`kill -9`, also of one that is just being started again. Raises TimeoutError."""
        until(lambda: True in [kill_9(container) for container in self.containers(service)], 120, f"{service} to run")

    def ready(self, service: str = "", deadline_s: float = 180.0) -> None:
        """Wait until all are healthy, or run where nobody asks. Raises TimeoutError."""
        until(
            lambda: all(state in {"healthy", "running"} for state in self.states(service).values()),
            deadline_s,
            lambda: str({name: state for name, state in self.states(service).items() if state != "healthy"}),
        )

    def states(self, service: str = "") -> dict[str, str]:
        """Container -> healthy, unhealthy, starting; running where nobody asks; else what docker says."""
        found = json.loads(docker("inspect", *self.containers(service)))
        return {each["Name"].strip("/"): _state(each["State"]) for each in found}

    def _all(self) -> list[tuple[str, str]]:
        format_ = f'--format={{{{.ID}}}} {{{{.Label "{_LABEL}.service"}}}}'
        told = docker("ps", "--all", f"--filter=label={_LABEL}.project={self.name}", format_)
        pairs = (line.split() for line in told.splitlines())
        return [(container, name) for container, name in pairs]


def docker(*arguments: str) -> str:
    """What docker says, on both streams, since that is how `logs` speaks. Raises RuntimeError."""
    done = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.stdout}")
    return done.stdout


def kill_9(container: str) -> bool:
    """As the kernel would: `docker kill` counts as a wish, after which nothing starts it again. False: not running.

    Who is not root has a container do it.
    """
    pid, image = docker("inspect", "--format={{.State.Pid}} {{.Image}}", container).split()
    if int(pid) == 0:
        return False
    try:
        os.kill(int(pid), signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        alone = ("--pid=host", "--user=0", "--network=none", "--entrypoint=sh")
        docker("run", "--rm", *alone, image, "-c", f"kill -9 {pid}")
    return True


def until(is_so: Callable[[], bool], deadline_s: float, what: str | Callable[[], str]) -> float:
    """Wait; returns the seconds that it took. Raises TimeoutError."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() > began + deadline_s:
            raise TimeoutError(f"waited {deadline_s:.0f} s for {what if isinstance(what, str) else what()}")
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def variables(file: Path) -> dict[str, str]:
    """The assignments of an environment file, with or without `export`."""
    lines = (line.removeprefix("export ").strip() for line in file.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("'\"") for name, value in pairs}


def _state(state: dict[str, Any]) -> str:
    return str(state["Health"]["Status"] if state["Running"] and "Health" in state else state["Status"])
