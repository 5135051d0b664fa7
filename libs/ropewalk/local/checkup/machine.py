"""What a machine must have before a stack can run on it."""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil

from ropewalk.local.checkup.findings import Check, Remark
from ropewalk.local.ports import Ports, is_free

_GB = 1000**3
_MEMORY_BYTES = 6 * _GB  # what the demo takes, twice, and room for the system
_DISK_BYTES = 6 * _GB
_SHM_BYTES = 500 * 1000**2  # Ray's object store and Triton's stubs
_OPEN_FILES = 4096
_SYNC_S = 0.05  # the event log waits for one sync per message
_NOT_LOCAL = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}
_LEAST_DOCKER, _LEAST_COMPOSE = (20, 10), (1, 29)


def machine_checks(state_dir: Path) -> list[Check]:
    """The checks for an embedded stack below `state_dir`."""
    folder = next(each for each in (state_dir, *state_dir.parents) if each.exists())
    return [
        Check(name="python", ask=_python, remedy="install Python 3.11 or 3.12"),
        Check(name="cores", ask=_cores, remedy="give it two cores"),
        Check(name="memory", ask=_memory, remedy="free 6 GB of memory"),
        Check(name="disk", ask=lambda: _disk(folder), remedy="choose another folder with ROPEWALK_STATE_DIR"),
        Check(name="sync", ask=lambda: _sync(folder), remedy="choose a folder you may write with ROPEWALK_STATE_DIR"),
        Check(name="shared memory", ask=_shm, remedy="mount /dev/shm (`docker run --shm-size=1g`)"),
        Check(name="open files", ask=_open_files, remedy="raise the limit (`ulimit -n`)"),
        Check(name="clock", ask=_clock, remedy="set the clock"),
        Check(name="ports", ask=_ports, remedy="free the ports"),
    ]


def docker_checks() -> list[Check]:
    """The checks for a stack in containers."""
    engine = "install docker (Debian: docker.io), start it, and join the group `docker`"
    return [
        Check(name="docker", ask=_docker, remedy=engine),
        Check(name="compose", ask=_compose, remedy="install docker-compose 1.29 or the docker compose plugin"),
    ]


def _judged(check: str, what: str, well: bool, remedy: str) -> Iterator[Remark]:
    yield Remark(check=check, what=what, remedy="" if well else remedy)


def _python() -> Iterator[Remark]:
    what = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    well = (3, 11) <= sys.version_info[:2] < (3, 13) and (platform.system(), platform.machine()) == ("Linux", "x86_64")
    yield from _judged("python", what, well, "use Python 3.11 or 3.12 on Linux x86-64, or a virtual machine with it")


def _cores() -> Iterator[Remark]:
    cores = len(os.sched_getaffinity(0))
    yield from _judged("cores", f"{cores} cores may be used", cores >= 2, "give it two cores; one is slow, not wrong")


def _memory() -> Iterator[Remark]:
    free = psutil.virtual_memory().available
    remedy = "close other programs, or use a machine with 8 GB; a run that has too little is killed by the kernel"
    yield from _judged("memory", f"{free / _GB:.1f} GB of memory are free", free >= _MEMORY_BYTES, remedy)


def _disk(folder: Path) -> Iterator[Remark]:
    free = shutil.disk_usage(folder).free
    remedy = "make room there, or choose a folder on a larger disk with ROPEWALK_STATE_DIR"
    yield from _judged("disk", f"{free / _GB:.1f} GB are free at {folder}", free >= _DISK_BYTES, remedy)


def _sync(folder: Path) -> Iterator[Remark]:
    """Whether a sync reaches a disk of this machine, and how long one takes."""
    places = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    kind = next(places[str(each)] for each in (folder, *folder.parents) if str(each) in places)
    probe, took = folder / f".ropewalk-doctor-{os.getpid()}", []
    try:
        with probe.open("wb", buffering=0) as file:
            for _ in range(10):
                file.write(bytes(4096))
                began = time.monotonic()
                os.fsync(file.fileno())
                took.append(time.monotonic() - began)
    finally:
        probe.unlink(missing_ok=True)
    what = f"a sync takes {1000 * median(took):.1f} ms on {folder} ({kind})"
    remedy = "put the state folder on a local disk (ROPEWALK_STATE_DIR): the event log syncs every message"
    yield from _judged("sync", what, kind not in _NOT_LOCAL and median(took) <= _SYNC_S, remedy)


def _shm() -> Iterator[Remark]:
    free = shutil.disk_usage("/dev/shm").free
    remedy = "make it larger: `mount -o remount,size=1g /dev/shm`, in a container `docker run --shm-size=1g`"
    yield from _judged("shared memory", f"{free / _GB:.1f} GB of /dev/shm are free", free >= _SHM_BYTES, remedy)


def _open_files() -> Iterator[Remark]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, hard) if hard != resource.RLIM_INFINITY else resource.RLIM_INFINITY
    well = limit == resource.RLIM_INFINITY or limit >= _OPEN_FILES
    what = f"a process may open {soft} files" + f", up to {limit}" * (limit > soft)
    yield from _judged("open files", what, well, f"raise `nofile` to {_OPEN_FILES} in /etc/security/limits.conf")


def _clock() -> Iterator[Remark]:
    """A clock that stands before the installation of this program is wrong; how right it is nobody here knows."""
    behind_s = Path(__file__).stat().st_mtime - time.time()
    what = f"the clock says {time.strftime('%Y-%m-%d %H:%M %Z')}"
    yield from _judged("clock", what, behind_s < 60, "set it, and keep it right with `systemd-timesyncd` or chrony")


def _ports() -> Iterator[Remark]:
    taken = [str(port) for port in Ports().model_dump().values() if not is_free(port)]
    told = f"{', '.join(taken)} are taken, so `ropewalk up` chooses others" if taken else "the usual ports are free"
    yield Remark(check="ports", what=told)


def _docker() -> Iterator[Remark]:
    said = _said("docker", "version", "--format", "{{.Server.Version}}")
    remedy = "install docker 20.10 or newer"
    yield from _judged("docker", f"docker {said}", _numbers(said) >= _LEAST_DOCKER, remedy)


def _compose() -> Iterator[Remark]:
    """`docker compose` where the plugin is there, else `docker-compose`."""
    try:
        said = _said("docker", "compose", "version", "--short")
    except OSError:
        said = _said("docker-compose", "version", "--short")
    remedy = "install docker-compose 1.29 or newer, or the plugin of docker"
    yield from _judged("compose", f"compose {said}", _numbers(said) >= _LEAST_COMPOSE, remedy)


def _said(*command: str) -> str:
    """What a program answers in one line. Raises OSError, with its own words, if it cannot."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise OSError(f"`{' '.join(command[:2])}` failed: {(done.stderr or done.stdout).strip()[:300]}")
    return done.stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.lstrip("v").split("-")[0].split(".")[:2] if part.isdigit())
