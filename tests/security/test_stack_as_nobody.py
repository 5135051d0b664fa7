"""A whole stack, and another user of the same machine who wants its secrets, its prompts, its models and its rights.

The state folder has a name that is hard to quote. The stranger's part is `nobody.py`.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import grpc
import psutil
import pytest

from ropewalk.admin.access import MAINTAINER
from ropewalk.client import Client, clickhouse, find_settings
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.stack import running_state
from ropewalk.local.supervision.processes import stack_processes
from ropewalk.runtime.plain_folder import plain_folder

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]
ODD_NAME = 'ann\'s "own" $HOME #1 (größe)'
PROMPT = "what only ann may know 7f3a"
READY_S = 60.0
# What a stranger may hear with 200: that something lives, nothing about it.
HARMLESS = {"/ping", "/healthz", "/livez", "/live", "/ready", "/replicas_status"}


@dataclass(frozen=True)
class Stack:
    """A running stack, seen by its owner."""

    layout: Layout

    @property
    def secrets(self) -> list[str]:
        """Everything that is written in its credentials and keys."""
        found = list(json.loads(self.layout.credentials_file.read_text()).values())
        return found + [seed.read_text().strip() for seed in self.layout.keys.iterdir()]

    @property
    def processes(self) -> list[psutil.Process]:
        return [*stack_processes(self.layout.state_dir), psutil.Process(running_state(self.layout).supervisor_pid)]

    def listening(self, kind: str) -> list[Any]:
        """Addresses on which its processes listen: `tcp` or `unix`."""
        found = []
        for process in self.processes:
            try:
                found += [
                    link.laddr
                    for link in process.net_connections(kind)
                    if link.laddr and (kind == "unix" or link.status == psutil.CONN_LISTEN)
                ]
            except psutil.Error:  # ended meanwhile
                continue
        return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Below a folder that everybody may enter, with one prompt in its tables."""
    parent = Path(tempfile.mkdtemp(prefix="rw-", dir="/tmp"))
    parent.chmod(0o755)
    made = Stack(layout_of(parent / ODD_NAME))
    command = [Path(sysconfig.get_path("scripts")) / "ropewalk"]
    where = ["--state-dir", str(made.layout.state_dir)]
    before = os.umask(0o022)
    try:
        up = subprocess.run([*command, "up", *where], capture_output=True, text=True, timeout=300, check=False)
        assert up.returncode == 0, up.stdout + up.stderr
        _leave_a_prompt(made)
        yield made
    finally:
        os.umask(before)
        subprocess.run([*command, "down", *where], capture_output=True, timeout=120, check=False)
        shutil.rmtree(parent, ignore_errors=True)


def _leave_a_prompt(stack: Stack) -> None:
    """As the endpoint does after it has answered somebody."""
    row = RequestLog(
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),  # texts are kept for 30 days
        request_id="request-1",
        trace_id="",
        key_id="ann",
        model="hers",
        model_version=1,
        run_id="run-1",
        checkpoint_id="",
        route="completions",
        status=200,
        finish_reason="stop",
        stream=False,
        latency_ms=1.0,
        ttft_ms=1.0,
        prompt_tokens=1,
        completion_tokens=1,
        prompt=PROMPT,
        completion=PROMPT,
        logprob_mean=-1.0,
        error="",
    )

    async def say() -> None:
        async with await Client.connect(find_settings(stack.layout.state_dir, MAINTAINER)) as client:
            await client.bus.publish(RequestLogBatch(run_id="run-1", rows=(row,)))

    asyncio.run(say())
    client = clickhouse_connect.get_client(**clickhouse(find_settings(stack.layout.state_dir)))
    deadline = time.monotonic() + READY_S
    while client.query("SELECT prompt FROM request").result_rows != [(PROMPT,)]:
        assert time.monotonic() < deadline, "the prompt never reached the tables"
        time.sleep(0.1)
    client.close()


@pytest.fixture(scope="module")
def tried(stack: Stack) -> dict[str, Any]:
    """What came of everything that user `nobody` tried."""
    layout = stack.layout
    asked = {
        "markers": [*stack.secrets, PROMPT],
        "ports": sorted({address.port for address in stack.listening("tcp")}),
        "pids": [process.pid for process in stack.processes],
        "private": [
            str(folder)
            for folder in (layout.state_dir, layout.ray_home, plain_folder(layout.state_dir, "triton"))
            if folder.exists()
        ],
        "shared": ["/dev/shm"],
        "sockets": [path for path in stack.listening("unix") if path],
    }
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
    script = Path(__file__).with_name("nobody.py").read_text()
    done = subprocess.run(
        [python, "-c", script],
        input=json.dumps(asked),
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["uid"] != 0
    return found


def test_command_lines_hold_no_secret_and_environments_are_closed(stack: Stack, tried: dict[str, Any]) -> None:
    assert any("nats-server" in said for name, said in tried["proc"].items() if name.endswith("cmdline"))
    assert not [name for name in tried["proc"] if not name.endswith("cmdline")]
    everything = "\n".join(tried["proc"].values())
    assert not [secret for secret in stack.secrets if secret in everything]


def test_every_port_is_on_loopback(stack: Stack) -> None:
    hosts = {address.ip.removeprefix("::ffff:") for address in stack.listening("tcp")}
    assert hosts == {"127.0.0.1"}


def test_no_port_tells_a_stranger_anything(stack: Stack, tried: dict[str, Any]) -> None:
    assert tried["http"]
    for port, asked, said in tried["http"]:
        assert PROMPT not in said, (port, asked)
        assert not [secret for secret in stack.secrets if secret in said], (port, asked)
        if said.startswith("HTTP/") and said.split(" ", 2)[1] == "200":
            assert asked.removeprefix("GET ") in HARMLESS, (port, asked, said[:500])


def test_the_bus_lets_no_stranger_in_and_has_no_port_that_talks_about_it(stack: Stack, tried: dict[str, Any]) -> None:
    bus = running_state(stack.layout).ports.nats
    [said] = [said for port, asked, said in tried["http"] if port == bus]
    assert "Authorization Violation" in said
    broker = [process for process in stack.processes if process.name() == "nats-server"]
    assert [link.laddr.port for link in broker[0].net_connections("tcp") if link.status == psutil.CONN_LISTEN] == [bus]


def test_no_file_and_no_socket_is_open_to_a_stranger(tried: dict[str, Any]) -> None:
    assert tried["entered"] == []
    assert tried["own"] == []
    assert tried["files"] == []
    assert tried["sockets"] == []


def test_every_file_would_stay_closed_if_the_folder_were_opened(stack: Stack) -> None:
    layout = stack.layout
    ray, programs = layout.ray_home, layout.state_dir / "triton" / "server"
    assert ray.stat().st_mode & 0o077 == 0  # Ray makes its own files open to all: this folder is what closes them
    opened = []
    for folder, folders, names in os.walk(layout.state_dir):
        for path in (Path(folder) / name for name in [*folders, *names]):
            forbidden = 0o022 if path.is_relative_to(programs) else 0o077  # Triton's programs are no secret
            if not path.is_relative_to(ray) and not path.is_symlink() and path.exists():
                opened += [str(path)] if path.stat().st_mode & forbidden else []
    assert opened == []


@pytest.mark.parametrize(
    "method",
    [
        "/ray.rpc.InternalKVGcsService/InternalKVKeys",
        "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
        "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
        "/ray.rpc.NodeManagerService/GetNodeStats",
        "/ray.rpc.NodeManagerService/RequestWorkerLease",
        "/ray.rpc.RayletDriver/ClusterInfo",
    ],
)
def test_ray_does_nothing_for_who_has_no_token(stack: Stack, method: str) -> None:
    ports = [
        link.laddr.port
        for process in stack.processes
        if process.environ().get("ROPEWALK_STACK_PROCESS") == "ray"
        for link in process.net_connections("tcp")
        if link.status == psutil.CONN_LISTEN
    ]
    assert len(ports) >= 3
    codes = set()
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=5, metadata=(("authorization", "Bearer guessed"),))
            codes.add(refused.value.code())
    assert codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}
    assert grpc.StatusCode.UNAUTHENTICATED in codes


def test_curl_reads_the_tables_with_the_line_that_status_shows(stack: Stack) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = [Path(sysconfig.get_path("scripts")) / "ropewalk", "status", "--json"]
    status = subprocess.run(
        [*command, "--state-dir", str(stack.layout.state_dir)], capture_output=True, text=True, check=True
    )
    line = json.loads(status.stdout)["curl"]
    assert not [secret for secret in stack.secrets if secret in line]
    assert subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_service_whose_port_a_stranger_takes_moves_and_says_where_it_is(stack: Stack) -> None:
    before = running_state(stack.layout)
    [pid] = [process.pid for process in before.processes if process.service == "monitor"]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                stranger.bind(("127.0.0.1", before.ports.clickhouse_http))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        stranger.listen()
        while True:
            state = running_state(stack.layout)
            [now] = [process for process in state.processes if process.service == "monitor"]
            if now.status == "ready" and now.pid != pid:
                break
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
    assert state.ports.clickhouse_http != before.ports.clickhouse_http
    client = clickhouse_connect.get_client(**clickhouse(find_settings(stack.layout.state_dir)))
    assert client.query("SELECT count() FROM request").result_rows == [(1,)]
    client.close()
