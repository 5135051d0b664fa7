"""TLS: clients check the server before they say anything, and a server beyond loopback has a certificate."""

import asyncio
import shutil
import socket
import stat
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ropewalk.admin.access import USERS
from ropewalk.bus.connection import connect
from ropewalk.bus.errors import BusError
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Address, Wire, WireError
from ropewalk.local.broker.config import BusAccounts, BusServer, ServerCertificate, nats_config
from ropewalk.local.broker.deployment import Deployment, create_deployment
from ropewalk.local.broker.keys import ensure_keys, seed_file
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import Ports, choose_ports

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")
PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return create_deployment(tmp_path_factory.mktemp("deployment") / "keys", ("localhost", "127.0.0.1"))


@pytest.fixture(scope="module")
def port(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with a certificate."""
    folder, ports = tmp_path_factory.mktemp("tls"), choose_ports(Ports(nats=1), PortClaims())
    certificate = ServerCertificate(deployment.server / "server.pem", deployment.server / "server.key")
    server = BusServer(store=folder / "store", port=ports.nats, certificate=certificate)
    accounts = BusAccounts(ensure_keys(deployment.seeds, USERS))
    (folder / "nats.conf").write_text(nats_config(server, accounts))
    with (folder / "nats.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "-c", folder / "nats.conf"], stderr=log)
    deadline = time.monotonic() + 20
    while not accepts(ports.nats):
        assert time.monotonic() < deadline, (folder / "nats.log").read_text()
        time.sleep(0.02)
    yield ports.nats
    process.kill()
    process.wait(20)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settings_of(deployment: Deployment, url: str, **changes: object) -> NatsSettings:
    seed = seed_file(deployment.seeds, "operator")
    return NatsSettings(url=url, user="operator", nkey_file=seed, tls_ca=deployment.authority, **changes)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_client_that_checks_the_authority_is_served_and_goes_without_a_word(
    deployment, port, host, caplog
) -> None:
    client = await connect(settings_of(deployment, f"tls://{host}:{port}"), "test")
    await client.flush()
    assert client.is_connected
    await client.close()
    await asyncio.sleep(0)
    assert not caplog.records


def test_the_blocking_connection_says_in_a_sentence_that_there_is_no_tls(deployment, port, tmp_path) -> None:
    stranger = create_deployment(tmp_path / "keys", ("localhost",))
    address = Address(url=f"tls://localhost:{port}", tls_ca=str(stranger.authority))
    with pytest.raises(
        WireError, match=rf"there is no TLS with the bus at tls://localhost:{port} .*CERTIFICATE_VERIFY"
    ):
        Wire(address)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(WireError, match=r"no TLS .*timed out"):
        Wire(Address(url=f"tls://127.0.0.1:{silent.getsockname()[1]}", tls_ca=str(deployment.authority)), 0.1)


async def test_a_server_of_another_authority_is_refused_at_once(deployment, port, tmp_path) -> None:
    stranger = create_deployment(tmp_path / "keys", ("localhost",))
    began = time.monotonic()
    with pytest.raises(BusError, match="certificate of the bus does not verify"):
        await connect(settings_of(stranger, f"tls://localhost:{port}"), "test")
    assert time.monotonic() - began < 5


async def test_a_server_with_another_name_is_refused(tmp_path, port) -> None:
    other = create_deployment(tmp_path / "keys", ("somewhere.else",))
    assert other.authority.is_file()
    with pytest.raises(BusError, match="does not verify"):
        await connect(settings_of(other, f"tls://127.0.0.1:{port}"), "test")


async def test_nothing_is_said_to_a_server_without_tls(deployment, guarded) -> None:
    began = time.monotonic()
    with pytest.raises(BusError, match="does not answer with TLS"):
        await connect(settings_of(deployment, f"tls://127.0.0.1:{guarded.ports.nats}"), "test")
    assert time.monotonic() - began < 5


async def test_an_authority_for_a_plain_address_is_a_mistake_that_is_named(deployment) -> None:
    with pytest.raises(BusError, match="begin it with tls://"):
        await connect(settings_of(deployment, "nats://127.0.0.1:1"), "test")


async def test_an_authority_that_cannot_be_read_is_named(deployment, tmp_path) -> None:
    settings = settings_of(deployment, "tls://127.0.0.1:1").model_copy(update={"tls_ca": tmp_path / "none.pem"})
    with pytest.raises(BusError, match=r"none\.pem cannot be used"):
        await connect(settings, "test")


def test_only_the_owner_enters_the_folder_and_any_user_of_a_container_reads_what_is_mounted_from_it(deployment) -> None:
    assert stat.S_IMODE(deployment.server.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(deployment.server.stat().st_mode) == 0o755  # mounted as a whole
    mounted = [*deployment.seeds.iterdir(), *deployment.server.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in mounted} == {0o444}
    assert {path.name for path in deployment.server.iterdir()} == {"ca.pem", "server.key", "server.pem", "users.conf"}
    seeds = [path.read_text().strip() for path in deployment.seeds.iterdir()]
    assert len(seeds) == len(USERS)
    for path in deployment.server.iterdir():
        assert not [seed for seed in seeds if seed in path.read_text()]


def test_keys_that_are_in_use_are_not_written_over(deployment) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in deployment.server.parent.rglob("*") if path.is_file()}

    before = content()
    create_deployment(deployment.server.parent, ("somewhere.else",))
    assert content() == before


def test_a_certificate_that_was_never_finished_is_made_again(deployment, tmp_path) -> None:
    made = create_deployment(tmp_path / "keys", ("localhost",))
    (made.server / "server.pem").unlink()  # it is written last
    key = (made.server / "server.key").read_bytes()
    assert create_deployment(tmp_path / "keys", ("localhost",)) == made
    assert (made.server / "server.pem").exists()
    assert (made.server / "server.key").read_bytes() != key


@pytest.mark.parametrize("lost", ["ca.pem", "server.key"])
def test_a_certificate_of_which_a_part_is_lost_is_made_again(tmp_path, lost) -> None:
    made = create_deployment(tmp_path / "keys", ("localhost",))
    (made.server / lost).unlink()
    create_deployment(tmp_path / "keys", ("localhost",))
    subprocess.run(
        ["openssl", "verify", "-CAfile", made.authority, made.server / "server.pem"], check=True, capture_output=True
    )
    assert (made.server / "server.key").exists()
