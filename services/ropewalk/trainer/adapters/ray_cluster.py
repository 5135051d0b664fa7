"""Starts a private Ray that ends with this process, or joins one that is there."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from ropewalk.runtime.own_folder import make_own_folder
from ropewalk.trainer.adapters.reports import ClusterSpec

_OBJECT_STORE_BYTES = 100 * 1024**2  # nothing large goes through Ray here
_SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",  # spinning OpenMP threads made a step four times slower on two busy cores
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_DAEMONS = ("gcs_server", "raylet")
# else Ray takes the machine's address for loopback's, and listens on all
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def surround(spec: ClusterSpec) -> None:
    """Tell Ray by the environment how to be. It reads parts of that when it is imported, so this comes first."""
    os.environ.update(_SURROUNDINGS)
    if not spec.address:  # else Ray writes a token into the home folder
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token(), **_LOOPBACK_ONLY)


@contextmanager
def ray_cluster(spec: ClusterSpec) -> Iterator[None]:
    """Connect this process to Ray. What it wrote is gone afterwards."""
    surround(spec)
    import ray

    folder = _own_folder(spec.temporary)
    on_terminate = signal.getsignal(signal.SIGTERM)
    if spec.address:
        ray.init(address=spec.address, configure_logging=False, log_to_driver=False)
    else:
        ray.init(
            num_cpus=spec.num_cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            configure_logging=False,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
    signal.signal(signal.SIGTERM, on_terminate)  # Ray's would end all before a worker could save
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _token() -> str:
    """Ray reads it once in a process."""
    return secrets.token_hex(32)


@dataclass(frozen=True)
class Daemon:
    """A process without which a private Ray cannot go on."""

    name: str
    _process: psutil.Process

    def lives(self) -> bool:
        """A zombie does not."""
        try:
            return self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def daemons() -> tuple[Daemon, ...]:
    """Those of this process's private Ray; none if it joined one."""
    children = psutil.Process().children()
    return tuple(Daemon(child.name(), child) for child in children if child.name() in _DAEMONS)


def kill_daemons() -> None:
    """End all that this process has started, at once."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def num_gpus() -> int:
    """Of the cluster that this process is connected to."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def _own_folder(parent: Path) -> Path:
    """A folder named after this process; those of processes that are gone are removed. Raises OSError."""
    make_own_folder(parent)
    for other in parent.iterdir():
        if other.name.isdigit() and not psutil.pid_exists(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)
    folder = parent / str(os.getpid())
    with suppress(FileExistsError):
        folder.mkdir()
    return folder
