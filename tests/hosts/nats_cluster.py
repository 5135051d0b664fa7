"""Three nats-servers on hosts of their own, configured as the StatefulSet of `k8s/base` has them: by its nats.conf,
with users, certificate and rights made by `ropewalk keys create`, and asked for their health as its probes do."""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nkeys
from hosts.network import Network, pid_of

SERVERS = ("nats-0", "nats-1", "nats-2")
EVERYTHING = "everything"  # a user of the tests alone: theirs are services that the product does not have
CLIENTS = "clients"
NAMES = {name: f"nats nats-peers {name}.nats-peers" for name in SERVERS} | {CLIENTS: ""}
URL = ",".join(f"tls://{name}.nats-peers:4222" for name in SERVERS)
_ROOT = Path(__file__).parents[2]
_BIN = Path(sysconfig.get_path("scripts"))
_HEALTHY_S = 60.0


class NatsCluster:
    """`folder` holds stores, keys and logs."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder, self.network = folder, network
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def create_keys(self) -> None:
        """As the documentation says, and one more user who may do everything."""
        names = [word for name in SERVERS for word in ("--host", f"{name}.nats-peers")]
        command = [_BIN / "ropewalk", "keys", "create", self.folder / "keys", "--host", "nats", *names]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seed = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
        (self.folder / "keys/seeds" / f"{EVERYTHING}.seed").write_bytes(seed)
        users = self.folder / "keys/server/users.conf"
        public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        known = users.read_text()
        assert "users: [" in known
        users.write_text(known.replace("users: [", f'users: [\n    {{"nkey": "{public}"}}', 1))

    def environment(self, user: str) -> dict[str, str]:
        """How a client of that user is told about the bus."""
        return {
            "ROPEWALK_NATS_URL": URL,
            "ROPEWALK_NATS_USER": user,
            "ROPEWALK_NATS_NKEY_FILE": str(self.folder / f"keys/seeds/{user}.seed"),
            "ROPEWALK_NATS_TLS_CA": str(self.folder / "keys/server/ca.pem"),
        }

    def start(self, *names: str) -> None:
        """Start servers; see `until_healthy`."""
        for name in names:
            config = self.folder / f"{name}.conf"
            config.write_text(self._rendered(name))
            log = self.folder / f"{name}.log"
            environment = {"POD_NAME": name}
            server = (_BIN / "nats-server", "--config", config)
            self._processes[name] = self.network.hosts[name].start(*server, log=log, environment=environment)

    def kill(self, *names: str, number: int = signal.SIGKILL) -> None:
        """End servers, all at the same moment; their hosts stay."""
        for name in names:
            if pid := pid_of(self._processes[name]):
                os.kill(pid, number)
        for name in names:
            self._processes.pop(name).wait()

    def stop(self, name: str) -> None:
        """As Kubernetes ends a pod: the preStop hook first, which lets its clients go elsewhere, then SIGTERM."""
        os.kill(pid_of(self._processes[name]), signal.SIGUSR2)
        self._processes[name].wait(90)
        del self._processes[name]

    def wipe(self, name: str) -> None:
        """Lose the disk of a server that is down."""
        shutil.rmtree(self.folder / f"store-{name}")

    def until_healthy(self, *names: str, seconds: float = _HEALTHY_S) -> float:
        """Wait until servers are well, streams included; how long that took in seconds."""
        began = time.monotonic()
        for name in names:
            until(lambda name=name: self.ails(name) == "", lambda name=name: f"{name}: {self.ails(name)}", seconds)
        return time.monotonic() - began

    def ails(self, name: str, query: str = "") -> str:
        """What `/healthz` says is wrong with a server, as the probes of its container ask."""
        ask = ("curl", "--silent", "--max-time", 3, f"http://127.0.0.1:8222/healthz{query}")
        try:
            answer = json.loads(self.network.hosts[name].run(*ask))
        except (subprocess.CalledProcessError, ValueError):
            return "it does not answer"
        return "" if answer["status"] == "ok" else str(answer)

    def apply(self) -> list[str]:
        """`ropewalk bus apply`, as the job of the manifests does it; what changed."""
        environment = self.environment("supervisor") | {"ROPEWALK_NATS_REPLICAS": "3"}
        return self.ropewalk("bus", "apply", "--json", environment=environment)["changes"]

    def ropewalk(self, *arguments: str, environment: dict[str, str] | None = None) -> Any:
        """What a command answers in JSON, run by the operator on the host of the clients."""
        chosen = self.environment("operator") if environment is None else environment
        return json.loads(self.network.hosts[CLIENTS].run(_BIN / "ropewalk", *arguments, environment=chosen))

    def _rendered(self, name: str) -> str:
        """The file as the container sees it, with folders of ours for those of the container."""
        (found,) = (_ROOT / "k8s/base").rglob("nats.conf")
        config = found.read_text()
        keys = self.folder / "keys/server"
        places = {
            '"/data"': f'"{self.folder / f"store-{name}"}"',
            '"/etc/nats-keys/': f'"{keys}/',
            'include "../nats-keys/users.conf"': f'include "{keys.relative_to(self.folder)}/users.conf"',
        }
        for theirs, ours in places.items():
            assert theirs in config, f"{found} does not say {theirs}"
            config = config.replace(theirs, ours)
        return config


def until(holds: Callable[[], bool], told: Callable[[], str], seconds: float = _HEALTHY_S) -> None:
    """Wait for something that comes to be within a time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {told()}"
        time.sleep(0.1)


@contextmanager
def running_cluster(folder: Path) -> Iterator[NatsCluster]:
    """Three servers with all streams, and a host for clients, in a folder that hosts can see, which /tmp is not."""
    with Network(NAMES) as network:
        for name in NAMES:
            network.add(name)
        cluster = NatsCluster(folder, network)
        cluster.create_keys()
        cluster.start(*SERVERS)
        cluster.until_healthy(*SERVERS)
        cluster.apply()
        yield cluster
