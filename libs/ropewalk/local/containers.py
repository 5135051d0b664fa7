"""The processes of a stack in containers, through the command line of docker: what a compose project is made of."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ropewalk.events.foreign import one_line, quoted
from ropewalk.local.errors import LocalError
from ropewalk.local.keeping import check_name
from ropewalk.local.logfiles import bounded_lines
from ropewalk.status.asking import Status
from ropewalk.status.problems import EVENT_LOG, Problem, problems_of
from ropewalk.status.seen import Disk, ProcessState, ProcessStatus
from ropewalk.storage.probing import ROOM_BYTES

_TIMEOUT_S = 20.0
# The services of compose.yaml, as people know them from the embedded stack.
_KNOWN_AS = {"nats": "nats-server", "ray-head": "ray"}
_HOLDS = {"nats": EVENT_LOG, "objects": "the objects", "clickhouse": "the tables"}
_STAYS = ("always", "unless-stopped")  # restart policies of what never ends by itself
_PROJECT, _SERVICE, _NUMBER = (f"com.docker.compose.{label}" for label in ("project", "service", "container-number"))

Json = dict[str, Any]


class ContainersError(LocalError):
    """The container engine cannot do what was asked."""


class Containers:
    """The containers of one compose project."""

    def __init__(self, project: str) -> None:
        self._project = project

    def names(self) -> tuple[str, ...]:
        """See Keeper."""
        return tuple(sorted(self._all()))

    def states(self) -> tuple[ProcessState, ...]:
        """See Keeper. Containers that have done their work and ended are left out."""
        found = [_state(name, each) for name, each in sorted(self._all().items()) if not _is_done(each)]
        if not found:
            raise ContainersError(
                f"the compose project {one_line(self._project)!r} has no containers: start it with `make compose-up`, "
                "or correct ROPEWALK_COMPOSE_PROJECT"
            )
        return tuple(found)

    def lines(self, name: str, num_lines: int) -> list[str]:
        """See Keeper."""
        return [line.rstrip("\n") for line in self._log(name, num_lines)]

    def follow(self, name: str, num_lines: int) -> Iterator[str]:
        """See Keeper. Ends with the container."""
        return self._log(name, num_lines, "--follow")

    def _log(self, name: str, num_lines: int, *options: str) -> Iterator[str]:
        command = ["docker", "logs", *options, "--tail", str(num_lines), self._id(name)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as told:
            assert told.stdout is not None
            try:
                yield from bounded_lines(told.stdout)
            finally:
                told.kill()

    def environment(self, name: str) -> dict[str, str]:
        """What a container was started with."""
        check_name(self, name)
        return dict(pair.split("=", 1) for pair in self._all()[name]["Config"]["Env"])

    def main_process(self, name: str) -> int:
        """The number of its program as it sees itself: the first child of the container's init."""
        return int(self.run(name, "cat /proc/1/task/1/children").split()[0])

    def run(self, name: str, script: str) -> str:
        """What a shell in the container, under its own user, prints."""
        return _docker("exec", self._id(name), "sh", "-c", script)

    def kill(self, name: str, process: int = -1) -> None:
        """SIGKILL to one process of a container, or to all but its init, which then ends with their exit code.

        `docker kill` would count as a person's wish, after which nothing starts the container again.
        """
        with contextlib.suppress(ContainersError):  # the shell may be ended with the container
            self.run(name, f"kill -9 {process}")

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Every process of the container sleeps while inside."""
        container = self._id(name)
        _docker("pause", container)
        try:
            yield
        finally:
            _docker("unpause", container)

    @contextlib.contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """The container has no network while inside. Afterwards it has its names again, and another address."""
        container = self._id(name)
        networks = self._all()[name]["NetworkSettings"]["Networks"]
        try:
            for network in networks:
                _docker("network", "disconnect", network, container)
            yield
        finally:
            for network, told in networks.items():
                _connect(network, container, told["Aliases"] or ())

    def disks(self) -> tuple[Disk, ...]:
        """The file systems of the volumes that hold what must not be lost, each once."""
        found, everything = dict[str, Disk](), self._all()
        for service, holds in _HOLDS.items():
            container = everything.get(_KNOWN_AS.get(service, service))
            if container is None or not container["State"]["Running"]:
                continue
            for mount in container["Mounts"]:
                if mount["RW"] and mount["Type"] == "volume":
                    with contextlib.suppress(ContainersError, ValueError, IndexError):  # an image without `df`
                        said = _docker("exec", container["Id"], "df", "-Pk", mount["Destination"]).splitlines()[1]
                        device, disk = _disk(holds, f"{service}:{mount['Destination']}", said)
                        found.setdefault(device, disk)
        return tuple(found.values())

    def _id(self, name: str) -> str:
        check_name(self, name)
        return str(self._all()[name]["Id"])

    def _all(self) -> dict[str, Json]:
        """By the names that people know. Raises ContainersError."""
        ids = _docker("ps", "--all", "--quiet", "--filter", f"label={_PROJECT}={self._project}").split()
        said = _docker("inspect", *ids) if ids else "[]"
        try:
            return {_name(each["Config"]["Labels"]): each for each in json.loads(said)}
        except (ValueError, KeyError, TypeError):
            raise ContainersError(f"docker inspect answers what is no list of containers: {quoted(said)}") from None


def with_containers(status: Status, containers: Containers) -> Status:
    """What the bus tells, with what only the container engine sees. An engine that is away is a problem more."""
    try:
        processes, disks = containers.states(), containers.disks()
    except ContainersError as error:
        remedy = "start the stack or docker, join the group docker, or unset ROPEWALK_COMPOSE_PROJECT"
        unseen = Problem(kind="engine_away", severity="warning", what=str(error), remedy=remedy)
        return replace(status, problems=(*status.problems, unseen))
    seen = replace(status.seen, processes=processes, disks=disks, contained=True)
    return Status(seen=seen, problems=problems_of(seen))


def _connect(network: str, container: str, aliases: Sequence[str]) -> None:
    named = (part for alias in aliases if not container.startswith(alias) for part in ("--alias", alias))
    with contextlib.suppress(ContainersError):  # it was never disconnected
        _docker("network", "connect", *named, network, container)


def _name(labels: dict[str, str]) -> str:
    service, number = labels[_SERVICE], labels.get(_NUMBER, "1")
    name = _KNOWN_AS.get(service, service)
    return name if number == "1" else f"{name}-{number}"


def _is_done(container: Json) -> bool:
    """Whether it did its work and ended well. An engine that somebody stopped ends well, too, and is to run."""
    state = container["State"]
    stays = container["HostConfig"]["RestartPolicy"]["Name"] in _STAYS
    return state["Status"] == "exited" and state["ExitCode"] == 0 and not stays


def _state(name: str, container: Json) -> ProcessState:
    state = container["State"]
    health = state.get("Health", {}).get("Status", "healthy")
    status, ending = _word(state, health)
    restarts = container["RestartCount"] + (status != "ready")  # what is not well has ended, or is as good as that
    return ProcessState(
        service=name,
        pid=state["Pid"],
        status=status,
        restarts=restarts,
        started_at=_moment(state["StartedAt"]),
        changed_at=_moment(state["StartedAt" if state["Running"] else "FinishedAt"]),
        last_ending=ending,
    )


def _word(state: Json, health: str) -> tuple[ProcessStatus, str]:
    """How it is, and how it came to that."""
    if state["Paused"]:
        return "backing off", "was paused"
    if state["Status"] != "running":
        killed = " for want of memory" if state["OOMKilled"] else ""
        return "backing off", f"ended with exit code {state['ExitCode']}{killed}"
    if health == "unhealthy":
        return "starting", "failed its health check"
    return ("starting", "") if health == "starting" else ("ready", "")


def _moment(time: str) -> float:
    """Seconds since 1970 of a time with nanoseconds; 0 for the engine's year 1, which stands for never."""
    return max(0.0, datetime.fromisoformat(time).timestamp())


def _disk(holds: str, folder: str, line: str) -> tuple[str, Disk]:
    """A line of `df -Pk`: the device, blocks of 1024 bytes, used, free, share, mount point."""
    device, total, _, free, _, mounted_at = line.split(maxsplit=5)
    room = int(free) * 1024
    return device, Disk(
        holds=holds,
        folder=folder,
        mounted_at=mounted_at,
        total=int(total) * 1024,
        free=room,
        full=room <= ROOM_BYTES,
    )


def _docker(*arguments: str) -> str:
    """What the program answers. Raises ContainersError with its words."""
    try:
        done = subprocess.run(
            ("docker", *arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ContainersError("the program docker is not installed: ROPEWALK_COMPOSE_PROJECT needs it") from None
    except subprocess.TimeoutExpired:
        raise ContainersError(
            f"docker {arguments[0]} gave no answer in {_TIMEOUT_S:.0f} s: is its engine up?"
        ) from None
    if done.returncode:
        raise ContainersError(f"docker {arguments[0]} failed: {one_line((done.stderr or done.stdout).strip(), 300)}")
    return done.stdout
