"""A new kind of backend is one module and one line: here, in a copy of the service, an OpenAI endpoint elsewhere."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

import ropewalk.serving.adapters.backends as registry
from ropewalk.bus.bus import Bus
from ropewalk.events.serving import ModelDeployed, RequestLogBatch, RouteTarget, TrafficShifted
from ropewalk.serving.settings import Settings
from ropewalk.storage.connect import StoreAddress

SERVICE = Path(registry.__file__).parents[1]
UPSTREAM = '''"""An OpenAI endpoint somewhere else as a backend."""

import httpx
from ropewalk.serving.domain.generation import Piece


class Upstream:
    def __init__(self, settings, on_repaired):
        self._addresses = {}

    async def __aenter__(self):
        self._client = httpx.AsyncClient(trust_env=False)
        return self

    async def __aexit__(self, *_):
        await self._client.aclose()

    async def generate(self, target, generation):
        body = {"model": target, "prompt": generation.prompt, "max_tokens": generation.max_tokens}
        answer = await self._client.post(f"{self._addresses[target]}/completions", json=body)
        choice = answer.json()["choices"][0]
        yield Piece(text=choice["text"], finish_reason="stop", num_input_tokens=1, num_output_tokens=1)

    async def load(self, entry):
        self._addresses[entry.target] = entry.address

    async def unload(self, target):
        self._addresses.pop(target, None)

    async def loaded(self):
        return frozenset(self._addresses)
'''
IMPORT = "from ropewalk.serving.adapters.upstream import Upstream\n"
LINE = '    "upstream": Upstream,\n'


@contextmanager
def an_endpoint_that_says(name: str) -> Iterator[str]:
    """The base URL of an OpenAI endpoint whose answers are its name and what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps({"choices": [{"text": f"{name} as {asked['model']}: {asked['prompt']}"}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The service with one module and one line more."""
    folder = tmp_path / "copy" / "ropewalk" / "serving"
    shutil.copytree(SERVICE, folder)
    (folder / "adapters" / "upstream.py").write_text(UPSTREAM)
    kinds = folder / "adapters" / "backends.py"
    before, opening, entries = kinds.read_text().partition("= {\n")
    kinds.write_text(before.replace("from ropewalk", IMPORT + "from ropewalk", 1) + opening + LINE + entries)
    return folder.parents[1]


async def deploy(bus: Bus, settings: Settings, addresses: dict[int, str]) -> None:
    """Say that a version is on each of the endpoints, and that half of the keys go to each."""
    folder = settings.state_dir / "export"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    StoreAddress(url=settings.objects_url, cache=settings.state_dir / "cache").connect().publish(folder, "x/1", {})
    for number, address in addresses.items():
        deployed = dict.fromkeys(("checkpoint_uri", "evaluation_uri", "openai_url", "triton_grpc", "triton_model"), "")
        deployed |= {"run_id": "first", "model": "demo", "checkpoint_id": f"c{number}", "export_uri": "x/1"}
        deployed |= {"backend": "upstream", "backend_address": address, "backend_model": f"theirs-{number}"}
        event = ModelDeployed.model_validate(deployed | {"model_version": number, "load_s": 0.1})
        await bus.publish(event, key=str(number))
    split = {"run_id": "first", "model": "demo", "alias": "production", "checkpoint_id": "c1", "previous_version": 0}
    targets = tuple(RouteTarget(model_version=number) for number in addresses)
    await bus.publish(TrafficShifted.model_validate(split | {"model_version": 1, "targets": targets}))


async def until_ready(client: httpx.AsyncClient, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async with asyncio.timeout(40):
        while True:
            assert process.poll() is None, log.read_text()
            try:
                health = (await client.get("/healthz")).json()
                if "demo" in health["models"]:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_requests_are_shared_out_between_two_endpoints_elsewhere_through_one_new_module_and_one_line(
    copy: Path, make_settings: Callable[[], Settings], nats_server: Any, bus: Bus, environment_of: Any, eventually: Any
) -> None:
    settings = make_settings()
    log = settings.state_dir / "serving.log"
    with ExitStack() as endpoints, log.open("wb") as output:
        here = {number: endpoints.enter_context(an_endpoint_that_says(f"endpoint {number}")) for number in (1, 2)}
        await deploy(bus, settings, here)
        environment = environment_of(settings, nats_server) | {"PYTHONPATH": str(copy)}
        process = subprocess.Popen(
            [sys.executable, "-m", "ropewalk.serving"], env=environment, stdout=output, stderr=output
        )
        headers = {"Authorization": f"Bearer {settings.gateway.demo_key}"}
        url = f"http://127.0.0.1:{settings.gateway.port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
            try:
                await until_ready(client, process, log)
                got = {}
                for user in (f"user-{number}" for number in range(24)):
                    body = {"model": "demo", "prompt": user, "user": user}
                    answers = [await client.post("/v1/completions", json=body) for _ in range(2)]
                    version = {answer.headers["x-ropewalk-model-version"] for answer in answers}
                    texts = {answer.json()["choices"][0]["text"] for answer in answers}
                    [got[user]] = version
                    number = got[user].removeprefix("demo@")
                    assert texts == {f"endpoint {number} as theirs-{number}: {user}"}
                assert set(got.values()) == {"demo@1", "demo@2"}
                await eventually(lambda: all_are_logged(bus))  # what is not sent at the end stays in a file
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    assert process.returncode == 0, log.read_text()


async def all_are_logged(bus: Bus) -> bool:
    """Whether the log of requests has all of them, each with the kind of backend that answered it."""
    batches = [item.message async for item in bus.read("log.infer.batch.v1.*", stream="INFER")]
    rows = [row for batch in batches if isinstance(batch, RequestLogBatch) for row in batch.rows]
    return [row.backend for row in rows] == ["upstream"] * 48
