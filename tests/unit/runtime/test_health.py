"""Live while the loop turns, ready while nothing speaks against it, answered even when the loop hangs."""

import asyncio
import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from ropewalk.runtime import health as module
from ropewalk.runtime.health import Health, ListenError, serve_probes
from ropewalk.runtime.settings import HealthSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, dict[str, object]]:
    """Status and body of a probe."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def health() -> Health:
    return Health("trainer")


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    server = serve_probes(health, HealthSettings(port=free_port()))
    yield server.server_port
    server.shutdown()
    server.server_close()


async def test_a_service_is_ready_until_a_check_has_a_reason_and_stays_live(health: Health, port: int) -> None:
    health.pulse.start()
    assert (await asyncio.to_thread(get, port, "/ready"))[0] == 200
    health.add(lambda: "it has no connection to the bus")
    status, body = await asyncio.to_thread(get, port, "/ready")
    assert status == 503
    assert body["reasons"] == ["it has no connection to the bus"]
    assert (await asyncio.to_thread(get, port, "/live"))[0] == 200
    health.pulse.stop()


async def test_a_blocked_loop_is_reported_while_it_is_blocked_and_forgiven_afterwards(
    health: Health, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCKED_S", 0.5)
    health.pulse.start()
    answers: list[tuple[int, dict[str, object]]] = []
    asked = threading.Event()

    def ask_until_dead() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (not answers or answers[-1][0] == 200):
            answers.append(get(port, "/live"))
        asked.set()

    threading.Thread(target=ask_until_dead).start()
    assert asked.wait(15)  # blocks the event loop, as a careless handler does
    status, body = answers[-1]
    assert status == 503
    assert "event loop has been blocked" in str(body["reasons"])
    while health.pulse.blocked_s() > 0.4:
        await asyncio.sleep(0.01)
    assert (await asyncio.to_thread(get, port, "/live"))[0] == 200
    assert health.pulse.take_worst_s() > 0.4
    assert health.pulse.take_worst_s() < 0.4
    health.pulse.stop()


def test_clients_that_send_half_a_question_keep_nobody_waiting(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLIENT_TIMEOUT_S", 0.5)
    silent = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
    for link in silent:
        link.sendall(b"GET /live HTT")
    assert get(port, "/live")[0] == 200
    deadline = time.monotonic() + 10
    dripping = silent[0]
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            dripping.sendall(b"x")
            dripping.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                if not dripping.recv(100):
                    break
    assert time.monotonic() < deadline, "a client that drips is never sent away"
    for link in silent:
        link.close()


def test_an_unknown_path_is_not_found(port: int) -> None:
    assert get(port, "/metrics")[0] == 404


def test_a_taken_port_is_named_with_the_setting(health: Health, port: int) -> None:
    with pytest.raises(ListenError, match=rf"127.0.0.1:{port} .*set ROPEWALK_HEALTH_PORT"):
        serve_probes(health, HealthSettings(port=port))
