"""The doors to Triton: who has no key gets in nowhere, who has one may ask models and do nothing else."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_client
from parts.triton_process import TritonServer
from tritonclient.grpc import InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from ropewalk.runtime.health import ListenError
from ropewalk.serving.adapters import triton_wire
from ropewalk.serving.adapters.doors.over_grpc import serve_grpc
from ropewalk.serving.adapters.doors.over_http import HttpDoor
from ropewalk.serving.adapters.gateway.server import serve
from ropewalk.serving.adapters.triton_client import TritonInference
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.generation import Generation
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.ports import ModelToLoad
from ropewalk.serving.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the doors are open for all tests, so all run in their loop
KEY = {"authorization": "Bearer rw-demo"}
TARGET = "doors-v1"
_LIMIT = 20_000


@dataclass
class Doors:
    """Where the doors are, and a client without a key."""

    grpc: str
    http: httpx.AsyncClient


async def _nobody(target: str, cause: str, seconds: float) -> None:
    """Nobody wants to know about repairs."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(triton: TritonServer, settings: Settings, export: Path) -> AsyncIterator[Doors]:
    keys = KeyRing.of({"demo": "rw-demo"})
    http_door = HttpDoor(settings.sockets, keys, Admission(4), _LIMIT)
    address = f"127.0.0.1:{settings.triton.grpc}"
    serving = [
        asyncio.create_task(serve(http_door.app(), "127.0.0.1", settings.triton.http)),
        asyncio.create_task(serve_grpc(settings.sockets, keys, address, max_message_bytes=_LIMIT, max_streams=4)),
    ]
    async with http_door, TritonInference(settings, _nobody) as inference:
        if TARGET not in await inference.loaded():
            await inference.load(ModelToLoad(target=TARGET, weights=export, lineage={}))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.triton.http}", timeout=20) as client:
            yield Doors(address, client)
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def inputs(stream: bool) -> list[InferInput]:
    values: dict[str, tuple[Any, str]] = {
        "text_input": (b"def add", "BYTES"),
        "stream": (stream, "BOOL"),
        "sampling_parameters": (b'{"max_tokens": 6, "temperature": 0, "ignore_eos": true}', "BYTES"),
    }
    made = []
    for name, (value, kind) in values.items():
        tensor = InferInput(name, [1], kind)
        tensor.set_data_from_numpy(np.array([value], dtype=object if kind == "BYTES" else bool))
        made.append(tensor)
    return made


async def streamed(address: str, headers: dict[str, str] | None) -> str:
    async with triton_client.InferenceServerClient(address) as client:

        async def once() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": TARGET, "inputs": inputs(stream=True), "enable_empty_final_response": True}

        text = ""
        async for result, error in client.stream_infer(once(), headers=headers):
            if error is not None:
                raise error
            part = result.as_numpy("text_output")
            text += part[0].decode() if part is not None else ""
        return text


async def test_triton_listens_on_no_port_and_no_key_is_in_a_command_line(doors: Doors, triton: TritonServer) -> None:
    server = psutil.Process(triton.pid)
    living = (one for one in server.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE)
    everyone = [server, *living]
    assert not [each for one in everyone for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert not [word for one in everyone for word in one.cmdline() if "rw-demo" in word or "x-admin" in word]


async def test_a_key_opens_streams_and_no_key_does_not(doors: Doors) -> None:
    assert await streamed(doors.grpc, KEY)
    for wrong in (None, {"authorization": "Bearer rw-other"}, {"authorization": "rw-demo"}, {"x-admin": "rw-demo"}):
        with pytest.raises((grpc.aio.AioRpcError, InferenceServerException), match="API key"):
            await streamed(doors.grpc, wrong)


async def test_a_client_that_leaves_in_the_middle_leaves_the_model_answering(doors: Doors) -> None:
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        request = triton_wire.request_of(
            TARGET, Generation(prompt="a", max_tokens=100, ignore_eos=True), extensions=True
        )
        for _ in range(3):
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(metadata=tuple(KEY.items()))
            await call.write(request)
            await call.read()
            call.cancel()
    assert await streamed(doors.grpc, KEY)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name="evil")),
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=TARGET)),
        ("RepositoryIndex", service_pb2.RepositoryIndexRequest()),
        ("TraceSetting", service_pb2.TraceSettingRequest()),
        ("LogSettings", service_pb2.LogSettingsRequest()),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="x", key="/x")),
        ("ModelStatistics", service_pb2.ModelStatisticsRequest()),
    ],
)
async def test_nothing_but_models_can_be_asked_over_grpc(doors: Doors, method: str, request_: Any) -> None:
    if method == "RepositoryModelLoad":
        request_.parameters["config"].string_param = json.dumps({"backend": "python"})
        request_.parameters["file:1/model.py"].bytes_param = b"import os"
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await getattr(stub, method)(request_, metadata=tuple(KEY.items()))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_completion_over_http_wants_a_key(doors: Doors) -> None:
    path, body = f"/v2/models/{TARGET}/generate", {"text_input": "def add", "stream": False}
    refused = await doors.http.post(path, json=body)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    answer = await doors.http.post(path, json=body, headers=KEY)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_name"] == TARGET
    streamed_ = await doors.http.post(f"{path}_stream", json=body | {"stream": True}, headers=KEY)
    assert streamed_.text.startswith("data: ")


async def test_health_is_told_to_everybody_and_the_rest_to_nobody(doors: Doors) -> None:
    assert (await doors.http.get("/v2/health/live")).status_code == 200
    for path in ("/v2", "/metrics", f"/v2/models/{TARGET}", f"/v2/models/{TARGET}/config"):
        assert (await doors.http.get(path)).status_code == 401
        assert (await doors.http.get(path, headers=KEY)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/evil/load",
        f"/v2/models/{TARGET}%2F..%2F..%2Frepository/infer",
        f"/v2/models/{TARGET}/..%2f..%2frepository%2findex",
        "/v2/models/%2e%2e/infer",
        "/v2/systemsharedmemory/region/x/register",
        "/v2/trace/setting",
        "/v2/logging",
        f"/v2/models/{TARGET}/trace/setting",
    ],
)
async def test_nothing_but_models_can_be_asked_over_http(doors: Doors, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await doors.http.request(method, path, headers=KEY, content=b"{}" if method == "POST" else None)
        assert answer.status_code == 404, answer.text
        assert "is not offered here" in answer.json()["error"]


async def test_what_is_too_large_or_packed_is_refused_with_a_sentence(doors: Doors) -> None:
    path = f"/v2/models/{TARGET}/generate"
    large = await doors.http.post(path, json={"text_input": "x" * _LIMIT}, headers=KEY)
    assert (large.status_code, "larger than 20,000 bytes" in large.json()["error"]) == (413, True)
    packed = gzip.compress(json.dumps({"text_input": "x"}).encode())
    answer = await doors.http.post(path, content=packed, headers=KEY | {"content-encoding": "gzip"})
    assert answer.status_code == 415


async def test_a_stream_whose_message_is_too_large_is_refused(doors: Doors) -> None:
    request = service_pb2.ModelInferRequest(model_name=TARGET, raw_input_contents=[b"x" * 2 * _LIMIT])
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for packing in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.ModelInfer(request, metadata=tuple(KEY.items()), compression=packing)
    assert await streamed(doors.grpc, KEY)


async def test_a_door_whose_port_is_taken_says_which_setting_moves_it(doors: Doors, settings: Settings) -> None:
    app, keys = HttpDoor(settings.sockets, KeyRing({}), Admission(1), 1).app(), KeyRing({})
    with pytest.raises(ListenError, match="ROPEWALK_SERVING_TRITON_HTTP"):
        await serve(app, "127.0.0.1", settings.triton.http, setting="ROPEWALK_SERVING_TRITON_HTTP")
    with pytest.raises(ListenError, match="ROPEWALK_SERVING_TRITON_GRPC"):
        await serve_grpc(settings.sockets, keys, doors.grpc, max_message_bytes=1, max_streams=1)


async def test_the_path_of_the_sockets_is_short_whatever_the_state_folder(settings: Settings, tmp_path: Path) -> None:
    deep = settings.model_copy(update={"state_dir": tmp_path.joinpath(*["deep"] * 40)})
    assert len(str(deep.sockets.grpc)) < 107
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(str(deep.sockets.grpc))
