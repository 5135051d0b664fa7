"""Hosts on one machine: each has its own network, name, processes, /tmp and shared memory; one bridge joins them.

Everything is in namespaces of processes that we started, so the machine's own network is not touched and all of it is
gone with them. It needs root. A host is lost as a real one is (`lose`: the kernel ends all that runs there at once),
and a link as a real one is (`cut`: what is sent is swallowed, and nobody is told).
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

_PREFIX = "10.77.0"  # only ever seen inside of the namespaces
_ALL = ("--mount", "--uts", "--ipc", "--net", "--pid")
_START_S = 10.0
_PR_SET_PDEATHSIG = 1


def may_make_hosts() -> bool:
    """Whether this user may make namespaces with networks of their own."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--net", "--pid", "--fork", "true"]).returncode == 0


@dataclass
class Host:
    """One host that is up. `pid` is its first process; what is started here runs below it."""

    name: str
    address: str
    port: str  # its end of the cable at the bridge
    pid: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, *command: object, log: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host. `pid_of` finds it; its status is that of what is returned."""
        output: IO[bytes] | int = subprocess.DEVNULL if log is None else log.open("ab")
        process = subprocess.Popen(
            self._inside(command),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_die_with_parent,
        )
        self.started.append(process)
        if not isinstance(output, int):
            output.close()
        return process

    def run(self, *command: object, environment: Mapping[str, str] | None = None, seconds: float = 120.0) -> str:
        """What a program on this host says. Raises CalledProcessError with it if the program fails."""
        done = subprocess.run(
            self._inside(command),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def _inside(self, command: tuple[object, ...]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), *_ALL, f"--wd={Path.cwd()}", "--", *map(str, command)]


def pid_of(process: subprocess.Popen[bytes]) -> int:
    """The program that `Host.start` started; `nsenter` waits beside it. 0 if it has ended."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        if children := psutil.Process(process.pid).children():
            return children[0].pid
        time.sleep(0.005)
    return 0


class Network:
    """A bridge with hosts. Use as a context manager."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        """`names` are further names of hosts, by host, separated by blanks."""
        self.hosts: dict[str, Host] = {}
        self._names = dict(names or {})
        self._places: dict[str, int] = {}
        self._firsts: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Network":
        self._bridge = _first_process("--net")
        _within(self._bridge, "ip link set lo up; ip link add hub type bridge; ip link set hub up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.hosts):
            self.lose(name)
        self._bridge.kill()
        self._bridge.wait()

    def address(self, name: str) -> str:
        """Of a host, whether it is up or not. It keeps it."""
        return f"{_PREFIX}.{self._places.setdefault(name, len(self._places) + 11)}"

    def add(self, name: str) -> Host:
        """Turn a host on."""
        address = self.address(name)
        first = self._firsts[name] = _first_process(*_ALL, "--fork", "--kill-child", "--mount-proc")
        host = Host(name, address, f"to-{name}"[:15], _first_of(first))
        self.hosts[name] = host
        bridge = self._bridge.pid
        _run("ip", "link", "add", host.port, "netns", bridge, "type", "veth", "peer", "name", "eth0", "netns", host.pid)
        _within(self._bridge, f"ip link set {host.port} master hub up")
        known = list(dict.fromkeys((*self._names, *self.hosts)))
        lines = [f"{self.address(each)} {each} {self._names.get(each, '')}" for each in known]
        # As Debian has it: a host that asks for its own name gets an address that is of no use to others.
        names = "\n".join(["127.0.0.1 localhost", f"127.0.1.1 {name}", *lines])
        host.run(
            "sh",
            "-ec",
            f"hostname {name}; ip link set lo up; ip address add {address}/24 dev eth0; ip link set eth0 up;"
            "mkdir -p /tmp /dev/shm; mount -t tmpfs own /dev/shm; mount -t tmpfs own /tmp;"
            f"printf '%s\\n' '{names}' > /tmp/hosts; mount --bind /tmp/hosts /etc/hosts",
        )
        return host

    def lose(self, name: str) -> None:
        """Turn a host off: all that runs there ends at once, and its network is gone."""
        host = self.hosts.pop(name)
        _within(self._bridge, f"ip link delete {host.port}")  # else it goes some time after the host
        os.kill(host.pid, signal.SIGKILL)
        self._firsts.pop(name).wait()
        for process in host.started:
            process.wait()

    def cut(self, name: str) -> None:
        """Swallow everything to and from a host."""
        _within(self._bridge, f"ip link set {self.hosts[name].port} nomaster")

    def mend(self, name: str) -> None:
        """Let it through again."""
        _within(self._bridge, f"ip link set {self.hosts[name].port} master hub")


def _first_process(*namespaces: str) -> subprocess.Popen[bytes]:
    """It does nothing but end the orphans of its host; that of a network alone is its own only process."""
    sleeping = ["sh", "-c", "sleep infinity & wait"] if "--fork" in namespaces else ["sleep", "infinity"]
    process = subprocess.Popen(
        ["unshare", *namespaces, "--", *sleeping],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # util-linux complains of a signal mask at its end
        preexec_fn=_die_with_parent,
    )
    ours = os.readlink("/proc/self/ns/net")
    _until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != ours, "a namespace of its own")
    return process


def _first_of(process: subprocess.Popen[bytes]) -> int:
    _until(lambda: psutil.Process(process.pid).children(), "a first process")
    (child,) = psutil.Process(process.pid).children()
    _until(lambda: child.name() == "sh", "a first process that is ready")
    return child.pid


def _within(bridge: subprocess.Popen[bytes], script: str) -> None:
    _run("nsenter", "--target", bridge.pid, "--net", "--", "sh", "-ec", script)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _START_S
    while not holds():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.005)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
