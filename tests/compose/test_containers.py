"""What the running containers may do, and what they are refused."""

import contextlib
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.errors
import pytest
from compose.containers import docker, until
from parts.compose_stack import ComposeStack

from ropewalk.local.broker.keys import create_key

pytestmark = pytest.mark.stack

OURS = ("ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "serving", "monitor", "ray-worker")


@pytest.fixture(scope="module")
def running(stack: ComposeStack) -> dict[str, dict[str, Any]]:
    """What docker knows of each container that stays, by its name."""
    return {each["Name"]: each for each in json.loads(docker("inspect", *stack.project.containers()))}


def in_container(stack: ComposeStack, service: str, script: str) -> int:
    """The exit status of a Python script in the container of a service."""
    (container,) = stack.project.containers(service)
    shell = 'python -c "$0" 2>/dev/null; echo "rc=$?"'
    return int(docker("exec", container, "sh", "-c", shell, script).rpartition("rc=")[2])


def test_all_containers_are_healthy(stack: ComposeStack) -> None:
    assert set(stack.project.states().values()) <= {"healthy", "running"}
    assert set(OURS) <= set(stack.project.services())


def test_no_container_has_rights_of_root(running: dict[str, dict[str, Any]]) -> None:
    for name, found in running.items():
        limits = found["HostConfig"]
        assert limits["CapDrop"] == ["ALL"], name
        assert not limits["CapAdd"], name
        assert not limits["Privileged"], name
        assert any("no-new-privileges" in option for option in limits["SecurityOpt"]), name
        uid = docker("exec", found["Id"], "id", "-u") if "otel" not in name else found["Config"]["User"].split(":")[0]
        assert int(uid) > 0, name


@pytest.mark.parametrize("service", OURS)
def test_nothing_can_be_written_outside_of_the_state(stack: ComposeStack, service: str) -> None:
    assert in_container(stack, service, "open('/opt/ropewalk/x', 'w')") == 1
    assert in_container(stack, service, "open('/var/lib/ropewalk/written', 'w')") == 0


def test_every_container_has_limits(running: dict[str, dict[str, Any]]) -> None:
    for name, found in running.items():
        assert 0 < found["HostConfig"]["Memory"] <= 16 << 30, name
        assert 0 < found["HostConfig"]["PidsLimit"] <= 4096, name
        assert found["HostConfig"]["ReadonlyRootfs"], name


def test_a_limit_ends_what_wants_more_memory_and_leaves_the_service_alone(stack: ComposeStack) -> None:
    (container,) = stack.project.containers("ingest")
    before = docker("inspect", "--format={{.State.StartedAt}}", container)
    memory = int(docker("inspect", "--format={{.HostConfig.Memory}}", container))
    assert in_container(stack, "ingest", f"x = b'x' * {memory + (64 << 20)}") in {137, 1}
    assert docker("inspect", "--format={{.State.StartedAt}}", container) == before


ENDS_FOR_WANT_OF_MEMORY = """
import os, pathlib
for each in pathlib.Path('/proc').glob('[0-9]*'):
    if b'ropewalk' in (each / 'cmdline').read_bytes() and int(each.name) != os.getpid():
        (each / 'oom_score_adj').write_text('1000')  # the kernel takes the service, not this script
held = [b'x' * (32 << 20) for _ in range(1000)]
"""


def test_a_service_over_its_limit_ends_alone_starts_again_and_is_named(stack: ComposeStack) -> None:
    (container,) = stack.project.containers("ingest")
    began = {each: docker("inspect", "--format={{.State.StartedAt}}", each) for each in stack.project.containers()}
    with contextlib.suppress(RuntimeError, ValueError):  # it ends with the container
        in_container(stack, "ingest", ENDS_FOR_WANT_OF_MEMORY)
    until(lambda: names(stack, "ingest"), 30, "status to name it")
    until(lambda: docker("inspect", "--format={{.State.StartedAt}}", container) != began[container], 30, "a restart")
    stack.project.ready("ingest")
    ended = [each for each in began if docker("inspect", "--format={{.State.StartedAt}}", each) != began[each]]
    assert ended == [container]


def names(stack: ComposeStack, service: str) -> bool:
    return any(service in problem["what"] for problem in stack.status()["problems"])


def test_only_loopback_is_listened_on(running: dict[str, dict[str, Any]]) -> None:
    hosts = {
        bound["HostIp"]
        for found in running.values()
        for ports in (found["NetworkSettings"]["Ports"] or {}).values()
        for bound in ports or ()
    }
    assert hosts == {"127.0.0.1"}


async def refused(stack: ComposeStack, **options: Any) -> bool:
    try:
        connection = await nats.connect(
            **stack.nats_options | options, allow_reconnect=False, connect_timeout=5, max_reconnect_attempts=1
        )
    except (nats.errors.Error, ssl.SSLError, OSError):
        return True
    await connection.close()
    return False


async def test_the_bus_refuses_who_does_not_check_it_and_whom_it_does_not_know(
    stack: ComposeStack, tmp_path: Path
) -> None:
    assert not await refused(stack)
    assert await refused(stack, tls=ssl.create_default_context())  # an authority of nobody's trust
    plain = stack.nats_options["servers"].replace("tls://", "nats://")
    assert await refused(stack, servers=plain, tls=None)
    stranger = tmp_path / "stranger.seed"
    create_key(stranger)
    assert await refused(stack, nkeys_seed=str(stranger))


def test_who_has_the_environment_for_people_reads_the_tables_and_writes_none(stack: ComposeStack) -> None:
    settings = stack.settings
    person = (settings.clickhouse_user, settings.clickhouse_token)

    def status(sql: str, who: tuple[str, str]) -> int:
        return httpx.post(settings.clickhouse_url, content=sql, auth=who).status_code

    assert status("SELECT count() FROM ropewalk.request", person) == 200
    for refused in (
        "INSERT INTO ropewalk.train_step (step) VALUES (1)",
        "TRUNCATE TABLE ropewalk.rejected",
        "DROP DATABASE ropewalk",
        "CREATE USER other IDENTIFIED BY 'x'",
    ):
        assert status(refused, person) != 200, refused
    assert status("SELECT 1", ("ropewalk", stack.told["CLICKHOUSE_PASSWORD"])) in {401, 403}, "it is the writer's"
