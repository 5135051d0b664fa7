"""On a real Triton: whatever one request asks for, the others go on; a stub that dies is repaired once."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from parts.small_engines import OVERRUN
from parts.triton_process import TritonServer

from ropewalk.serving.adapters import triton_wire
from ropewalk.serving.adapters.triton_client import TritonInference
from ropewalk.serving.adapters.triton_stream import CompletionStream
from ropewalk.serving.domain.generation import Generation
from ropewalk.serving.errors import BackendError, BackendGoneError, LoadFailedError, RequestRefusedError
from ropewalk.serving.ports import ModelToLoad
from ropewalk.serving.settings import Settings

TARGET = "shared-v1"


@pytest.fixture
async def repaired() -> "asyncio.Queue[str]":
    return asyncio.Queue()


@pytest.fixture
async def inference(
    triton: TritonServer, settings: Settings, export: Path, repaired: "asyncio.Queue[str]"
) -> AsyncIterator[TritonInference]:
    async def on_repaired(target: str, cause: str, seconds: float) -> None:
        await repaired.put(cause)

    async with TritonInference(settings, on_repaired) as inference:
        if TARGET not in await inference.loaded():
            await inference.load(ModelToLoad(target=TARGET, weights=export, lineage={}))
        yield inference


async def completed(inference: TritonInference, generation: Generation, target: str = TARGET) -> int:
    async with aclosing(inference.generate(target, generation)) as pieces:
        return sum([piece.num_output_tokens async for piece in pieces])


def asked(**wishes: object) -> Generation:
    return Generation(**{"prompt": "def add", "max_tokens": 5, "ignore_eos": True} | wishes)  # type: ignore[arg-type]


EXTREME = [
    {"top_p": 1e-46},
    {"temperature": 1e-40},
    {"temperature": 5e-324, "top_p": 5e-324, "top_k": 1},
    {"top_k": 10**30},
    {"max_tokens": 10**30},
    {"seed": -(10**30)},
    {"stop": tuple(f"stop {number}" for number in range(64))},
    {"prompt": ""},
    {"prompt": "\x00\N{REPLACEMENT CHARACTER}"},
]
REFUSED = [
    {"top_p": 0.0},
    {"top_p": float("nan")},
    {"temperature": float("inf")},
    {"temperature": -1e-40},
    {"max_tokens": 0},
    {"seed": 1.5},
    {"top_k": -7.5},
    {"stop": tuple(f"stop {number}" for number in range(20_000))},
    {"stop": ("a" * 100_000,)},
    {"prompt_token_ids": (10**30,)},
    {"prompt_token_ids": (-1,)},
    {"prompt_token_ids": ()},
    {"prompt": "word " * 200_000},
    {"schema": '{"properties":{"a":{"not":{}}}}', "ignore_eos": False},
    {"schema": '{"type":"object"}', "ignore_eos": True},
]


@pytest.mark.parametrize("wishes", EXTREME, ids=lambda wishes: str(wishes)[:40])
async def test_a_wish_at_the_edge_is_fulfilled(inference: TritonInference, wishes: dict[str, object]) -> None:
    assert await completed(inference, asked(**wishes)) > 0


@pytest.mark.parametrize("wishes", REFUSED, ids=lambda wishes: str(wishes)[:40])
async def test_an_impossible_wish_is_refused_in_a_short_sentence(
    inference: TritonInference, wishes: dict[str, object]
) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        await completed(inference, asked(**wishes))
    assert 10 < len(str(refused.value)) < 700


HOSTILE = [
    b"[]",
    b"null",
    b"{",
    b"[" * 100_000,
    b'{"seed": ' + b"9" * 5000 + b"}",
    b'{"temperature": NaN}',
    b'{"temperature": "1"}',
    b'{"stop": "\\ud800"}',
    b'{"stop": [null]}',
    b'{"no_such": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    b'{"' + b"x" * 500_000 + b'": 1}',
    b'{"prompt_token_ids": [true]}',
    b'{"prompt_token_ids": [' + b"1," * 100_000 + b"1]}",
    b'{"max_tokens": 1e400}',
    b'{"structured_outputs": {"json": {}}}',
    b'{"structured_outputs": "{\\"regex\\": \\"a+\\"}"}',
    b'{"structured_outputs": "{\\"json_object\\": false}"}',
    b'{"structured_outputs": "' + b"[" * 100_000 + b'"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("parameters", HOSTILE, ids=lambda raw: str(raw[:24]))
async def test_parameters_that_nobody_can_read_are_refused_in_a_short_sentence(
    inference: TritonInference, parameters: bytes
) -> None:
    stream = CompletionStream(inference._stub, triton_wire._request(TARGET, "def", parameters), lambda: None)
    with pytest.raises(RequestRefusedError) as refused:
        async for _ in stream.pieces():
            pass
    assert 10 < len(str(refused.value)) < 700
    assert await completed(inference, asked()) == 5


async def test_an_answer_follows_a_schema_through_triton_and_a_bad_schema_is_named(inference: TritonInference) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, "two"]}}, "required": ["a"]}
    schema |= {"additionalProperties": False}
    wanted = asked(schema=json.dumps(schema), ignore_eos=False, max_tokens=60)
    async with aclosing(inference.generate(TARGET, wanted)) as pieces:
        answer = [piece async for piece in pieces]
    assert json.loads("".join(piece.text for piece in answer))["a"] in (1, "two")
    assert answer[-1].finish_reason == "stop"
    with pytest.raises(RequestRefusedError, match=r'^structured_outputs\.json: Unimplemented keys: \["not"\]'):
        await completed(inference, asked(schema='{"not":{}}', ignore_eos=False))


async def test_a_schema_that_wants_too_much_amid_its_answer_ends_that_answer_alone(inference: TritonInference) -> None:
    beside = asyncio.create_task(completed(inference, asked(max_tokens=60)))
    wanted = asked(schema=json.dumps(OVERRUN), ignore_eos=False, max_tokens=60)
    with pytest.raises(RequestRefusedError, match=r"^structured_outputs\.json: it wants more work for one token"):
        await completed(inference, wanted)
    assert await completed(inference, replace(wanted, max_tokens=3)) == 3  # so it was amid the answer
    assert await beside == 60


async def test_nothing_of_all_that_disturbs_a_stream_beside_it(
    inference: TritonInference, repaired: "asyncio.Queue[str]"
) -> None:
    quiet = await completed(inference, asked(max_tokens=100, temperature=0.0))
    beside = asyncio.create_task(completed(inference, asked(max_tokens=100, temperature=0.0)))
    tried = await asyncio.gather(
        *(completed(inference, asked(**wishes)) for wishes in (*EXTREME, *REFUSED)), return_exceptions=True
    )
    assert [type(each) for each in tried if isinstance(each, Exception)] == [RequestRefusedError] * len(REFUSED)
    assert await beside == quiet
    assert repaired.empty()


async def test_nobody_else_may_read_the_shared_memory_of_a_loaded_model(
    inference: TritonInference, settings: Settings
) -> None:
    regions = list(Path("/dev/shm").glob(f"{settings.shm_prefix}*"))
    assert regions
    assert not [region.name for region in regions if region.stat().st_mode & 0o077]


def kill_stub(triton: TritonServer, target: str, number: signal.Signals = signal.SIGKILL) -> None:
    for stub in psutil.Process(triton.pid).children(recursive=True):
        if stub.status() != psutil.STATUS_ZOMBIE and any(f"/{target}/" in word for word in stub.cmdline()):
            os.kill(stub.pid, number)


async def test_all_streams_hear_at_once_that_the_stub_was_killed_and_one_repair_follows(
    inference: TritonInference, triton: TritonServer, settings: Settings, export: Path, repaired: "asyncio.Queue[str]"
) -> None:
    await inference.load(ModelToLoad(target="victim-v1", weights=export, lineage={}))
    kill_stub(triton, "victim-v1", signal.SIGSTOP)  # so that all are open when it dies
    streams = [asyncio.create_task(completed(inference, asked(), "victim-v1")) for _ in range(24)]
    await asyncio.sleep(0.1)
    kill_stub(triton, "victim-v1")
    killed = time.monotonic()
    heard: list[float] = []
    for stream in streams:
        stream.add_done_callback(lambda _: heard.append(time.monotonic() - killed))
    ends = await asyncio.gather(*streams, return_exceptions=True)
    assert {type(end) for end in ends} == {BackendGoneError}
    assert heard[-1] - heard[0] < 1.0, heard
    async with asyncio.timeout(30):
        assert await repaired.get()
    for _ in range(3):
        assert await completed(inference, asked(), "victim-v1") == 5
    assert repaired.empty()
    await inference.unload("victim-v1")
    assert triton.is_alive()


SLOW = """
import time
from pathlib import Path

class TritonPythonModel:
    def initialize(self, args):
        with Path({counter!r}).open("a") as file:
            file.write("x")
        time.sleep(4)

    def execute(self, requests):
        return []
"""


async def test_a_load_has_no_deadline_and_a_restarted_service_waits_for_the_one_under_way(
    triton: TritonServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropewalk.serving.adapters.triton_control._ANSWER_S", 2.0)

    async def on_repaired(target: str, cause: str, seconds: float) -> None:
        raise AssertionError(cause)

    counter = tmp_path / "loads"
    entry = settings.repository / "slow-v1"
    (entry / "1").mkdir(parents=True)
    (entry / "1" / "model.py").write_text(SLOW.format(counter=str(counter)))
    (entry / "1" / "model.json").write_text(json.dumps({"model": "/w", "max_num_seqs": 8}, indent=1))
    output = 'output [ { name: "o" data_type: TYPE_STRING dims: [ -1 ] } ]'
    (entry / "config.pbtxt").write_text(f'backend: "python"\n{output}\n')
    async with TritonInference(settings, on_repaired) as first, TritonInference(settings, on_repaired) as second:
        loading = asyncio.create_task(first._control.load("slow-v1"))
        async with asyncio.timeout(30):
            while not counter.exists():
                await asyncio.sleep(0.02)
        assert "slow-v1" not in await second.loaded()  # asked and answered meanwhile
        await second.load(ModelToLoad(target="slow-v1", weights=Path("/w"), lineage={}))
        await loading
        assert "slow-v1" in await second.loaded()
        await second.unload("slow-v1")
    assert counter.read_text() == "x"


async def test_a_load_that_fails_says_why(inference: TritonInference, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(LoadFailedError, match="model_type is 'mamba'"):
        await inference.load(ModelToLoad(target="mamba-v1", weights=tmp_path, lineage={}))


async def test_a_stub_that_hangs_is_found_out_and_repaired(
    inference: TritonInference, triton: TritonServer, export: Path, repaired: "asyncio.Queue[str]"
) -> None:
    await inference.load(ModelToLoad(target="hung-v1", weights=export, lineage={}))
    kill_stub(triton, "hung-v1", signal.SIGSTOP)
    with pytest.raises(BackendError, match="Stub process"):
        await completed(inference, asked(), "hung-v1")
    async with asyncio.timeout(30):
        assert "Stub process" in await repaired.get()
    assert await completed(inference, asked(), "hung-v1") == 5
    kill_stub(triton, "hung-v1")
    await inference.unload("hung-v1")


async def test_a_stub_that_is_killed_while_nobody_uses_it_is_repaired_before_it_is_missed(
    inference: TritonInference,
    triton: TritonServer,
    export: Path,
    repaired: "asyncio.Queue[str]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await inference.load(ModelToLoad(target="idle-v1", weights=export, lineage={}))
    kill_stub(triton, "idle-v1")
    monkeypatch.setattr("ropewalk.serving.adapters.triton_pulse._IDLE_S", 0.0)
    async with asyncio.timeout(30):
        while repaired.empty():
            await inference.loaded()
            await asyncio.sleep(0.1)
    assert await completed(inference, asked(), "idle-v1") == 5
    await inference.unload("idle-v1")
