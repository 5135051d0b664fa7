"""Ray on several hosts that share no disk: a head that runs no work, workers, and an object store for them all."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hosts.nats_cluster import until
from hosts.network import Host, Network

HEAD, WORKERS, DRIVER, STORE = "ray-head", ("worker-0", "worker-1"), "driver", "store"
SPARE = "worker-2"
_BIN = Path(sysconfig.get_path("scripts"))
_HEAD_PORT, _STORE_PORT = 6379, 8333
_QUIET = ("--disable-usage-stats", "--include-log-monitor=false", "--block")
_START_S = 90.0


class RayNodes:
    """`folder` holds logs; nothing of a run is in it, and no host reads what another has written."""

    def __init__(self, folder: Path, network: Network, weed: Path) -> None:
        self.folder, self.network, self._weed = folder, network, weed
        self.environment = {
            "ROPEWALK_TRAINER_RAY_ADDRESS": f"{network.address(HEAD)}:{_HEAD_PORT}",
            "ROPEWALK_PREPROCESSING_RAY_ADDRESS": f"{network.address(HEAD)}:{_HEAD_PORT}",
            "ROPEWALK_OBJECTS_URL": "s3://ropewalk/objects",
            "ROPEWALK_OBJECTS_ENDPOINT": f"http://{STORE}:{_STORE_PORT}",
            "ROPEWALK_STATE_DIR": "/tmp/state",  # of which every host has its own
            "AWS_ACCESS_KEY_ID": "ropewalk",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
            "AWS_REGION": "us-east-1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "0" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "HOME": "/tmp",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }

    def start_store(self) -> None:
        """SeaweedFS as `compose.yaml` has it."""
        host = self.network.hosts[STORE]
        command = (self._weed, "mini", "-dir=/tmp/objects", "-bucket=ropewalk")
        host.run("mkdir", "-p", "/tmp/objects")
        host.start(*command, log=self.folder / "store.log", environment=self.environment)
        self._until_open(STORE, _STORE_PORT)

    def start_head(self) -> None:
        """It places work and does none."""
        options = ("--head", "--num-cpus=0", "--include-dashboard=false", f"--port={_HEAD_PORT}")
        self._start_ray(self.network.hosts[HEAD], *options)
        self._until_open(HEAD, _HEAD_PORT)

    def start_node(self, name: str, num_cpus: int) -> None:
        """A host that takes part."""
        self._start_ray(self.network.hosts[name], f"--num-cpus={num_cpus}", f"--address={self._head}")

    def start_driver(self) -> None:
        """As the trainer's pod: a node without CPUs, from which a service joins."""
        self.start_node(DRIVER, 0)

    def program(self, *arguments: object, log: str) -> subprocess.Popen[bytes]:
        """Start a module of the tests on the driver's host."""
        host = self.network.hosts[DRIVER]
        return host.start(sys.executable, "-m", *arguments, log=self.folder / log, environment=self.environment)

    def runs_worker(self, name: str) -> bool:
        """Whether a training worker runs on a host."""
        return "adapters.fork_server" in self.network.hosts[name].run("ps", "-eo", "args")

    @property
    def _head(self) -> str:
        return self.environment["ROPEWALK_TRAINER_RAY_ADDRESS"]

    def _start_ray(self, host: Host, *options: str) -> None:
        place = (f"--node-ip-address={host.address}", "--object-store-memory=100000000")
        command = (_BIN / "ray", "start", *options, *place, *_QUIET)
        host.start(*command, log=self.folder / f"{host.name}.log", environment=self.environment)

    def _until_open(self, name: str, port: int) -> None:
        probe = f"import socket; socket.create_connection(('{self.network.address(name)}', {port}), 1)"

        def is_open() -> bool:
            try:
                self.network.hosts[DRIVER].run(sys.executable, "-c", probe)
            except subprocess.CalledProcessError:
                return False
            return True

        until(is_open, lambda: (self.folder / f"{name}.log").read_text()[-2000:], _START_S)


@contextmanager
def running_ray(folder: Path, weed: Path) -> Iterator[RayNodes]:
    """A head, two workers with a CPU each and a driver."""
    names = dict.fromkeys((HEAD, *WORKERS, SPARE, DRIVER, STORE), "")
    with Network(names) as network:
        for name in names:
            network.add(name)
        nodes = RayNodes(folder, network, weed)
        nodes.start_store()
        nodes.start_head()
        for name in WORKERS:
            nodes.start_node(name, 1)
        nodes.start_driver()
        yield nodes
