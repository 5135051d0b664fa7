"""The main job on the real stack with a small recipe, and every kind of client against what it made."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import clickhouse_connect
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http
from pydantic import BaseModel

from ropewalk.admin.access import emitted_by
from ropewalk.admin.contracts import SERVICE_USERS
from ropewalk.cli.connecting import call
from ropewalk.client import Client, clickhouse
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ParityCertified
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import EvaluationCompleted, GateDecided
from ropewalk.events.run import RunAccepted, RunCompleted, StageCompleted
from ropewalk.events.training import TrialCompleted

pytestmark = pytest.mark.stack


class Verdict(BaseModel):
    """A small answer, whole within the context of a small model."""

    kind: Literal["function", "class"]
    is_short: bool


STAGES = ["ingest", "preprocess", "search", "train", "export", "evaluate", "deploy", "promote"]


def test_every_stage_happens_exactly_once(stack, promoted) -> None:
    stages = [event.stage for event in stack.timeline("small") if isinstance(event, StageCompleted)]
    assert sorted(stages) == sorted(STAGES)
    assert [type(event) for event in stack.timeline("small")].count(RunCompleted) == 1


def test_every_document_has_one_fate(stack, promoted) -> None:
    dataset = stack.until("small", DatasetPublished)
    assert dataset.num_inputs == dataset.num_kept + dataset.num_held_out + sum(dataset.dropped.values())
    assert dataset.num_kept > 50


def test_the_search_tried_what_the_recipe_asked(stack, promoted) -> None:
    trials = [event for event in stack.timeline("small") if isinstance(event, TrialCompleted)]
    accepted = stack.until("small", RunAccepted)
    assert len(trials) == accepted.recipe["trials"]


def test_the_model_beats_the_unigram_and_says_how_sure_it_is(stack, promoted) -> None:
    estimates = {item.metric: item for item in stack.until("small", EvaluationCompleted).estimates}
    ours, unigram = estimates["bits_per_byte"], estimates["baseline_unigram_bits_per_byte"]
    assert ours.lower < ours.value < ours.upper < unigram.value


def test_four_paths_gave_the_same_tokens(stack, promoted) -> None:
    parity = stack.until("small", ParityCertified)
    assert parity.passed
    assert parity.num_prompts == 16
    assert len(parity.paths) == 4


def test_the_ledger_proves_that_no_sample_was_skipped_or_repeated(stack, promoted) -> None:
    done = stack.ropewalk("ledger", "verify", "small", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_openai_client_completes_and_streams(stack, promoted) -> None:
    client = openai.OpenAI(base_url=stack.settings.openai_url, api_key=stack.settings.api_key)
    assert promoted.model in {model.id for model in client.models.list()}
    whole = client.completions.create(model=promoted.model, prompt="def add(", max_tokens=12, temperature=0)
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    stream = client.completions.create(
        model=promoted.model, prompt="def add(", max_tokens=12, temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == whole.choices[0].text
    chat = client.chat.completions.create(
        model=promoted.model, messages=[{"role": "user", "content": "hello"}], max_tokens=4
    )
    assert chat.choices[0].finish_reason in {"stop", "length"}
    client.close()


def test_the_openai_client_parses_an_answer_into_a_model_of_its_own(stack, promoted) -> None:
    client = openai.OpenAI(base_url=stack.settings.openai_url, api_key=stack.settings.api_key)
    asked: Any = [{"role": "user", "content": "def add(a, b):"}]
    parsed = client.chat.completions.parse(
        model=promoted.model, messages=asked, response_format=Verdict, max_tokens=100, temperature=0
    )
    assert parsed.choices[0].message.parsed is not None
    assert parsed.choices[0].message.parsed.kind in ("function", "class")
    schema = Verdict.model_json_schema() | {"additionalProperties": False}  # as the client writes it for `parse`
    form: Any = {"type": "json_schema", "json_schema": {"name": "v", "schema": schema}}
    stream = client.chat.completions.create(
        model=promoted.model, messages=asked, response_format=form, max_tokens=100, temperature=0, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == parsed.choices[0].message.content
    form["json_schema"]["schema"] = {"type": "array", "uniqueItems": True}
    with pytest.raises(openai.BadRequestError, match=r"response_format\.json_schema\.schema.*uniqueItems"):
        client.completions.create(model=promoted.model, prompt="[", max_tokens=9, extra_body={"response_format": form})
    client.close()


async def test_the_asynchronous_openai_client_streams_what_the_other_one_gets_whole(stack, promoted) -> None:
    asked = {"model": promoted.model, "prompt": "def add(", "max_tokens": 12, "temperature": 0}
    async with openai.AsyncOpenAI(base_url=stack.settings.openai_url, api_key=stack.settings.api_key) as client:
        whole, stream = await asyncio.gather(
            client.completions.create(**asked), client.completions.create(**asked, stream=True)
        )
        pieces = [chunk.choices[0].text async for chunk in stream if chunk.choices]
    assert "".join(pieces) == whole.choices[0].text


@pytest.mark.parametrize(
    ("key", "body", "status", "word"),
    [
        ("wrong", {}, 401, "key"),
        ("", {"model": "no-such-model"}, 404, "no-such-model"),
        ("", {"prompt": "x = 1\n" * 4000}, 400, "context"),
        ("", {"max_tokens": "many"}, 400, "max_tokens"),
    ],
)
def test_a_bad_request_gets_its_status_and_a_clear_word(stack, promoted, key, body, status, word) -> None:
    response = httpx.post(
        f"{stack.settings.openai_url}/completions",
        headers={"authorization": f"Bearer {key or stack.settings.api_key}"},
        json={"model": promoted.model, "prompt": "x", "max_tokens": 2} | body,
        trust_env=False,
    )
    assert response.status_code == status, response.text
    assert word in response.json()["error"]["message"]


def triton_inputs(module: Any) -> list[Any]:
    values = {
        "text_input": np.array([b"def add("], dtype=np.object_),
        "stream": np.array([False]),
        "sampling_parameters": np.array([b'{"temperature": 0, "max_tokens": 8}'], dtype=np.object_),
    }
    types = {"text_input": "BYTES", "stream": "BOOL", "sampling_parameters": "BYTES"}
    inputs = []
    for name, value in values.items():
        tensor = module.InferInput(name, [1], types[name])
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def served_model(stack, promoted) -> str:
    return f"{promoted.model}-v{promoted.model_version}"


def test_no_command_line_holds_a_secret(stack, promoted) -> None:
    commands = stack.command_lines()
    assert len(commands) > 10
    assert not [command for command in commands for secret in stack.secrets if secret in command]


def key_header(stack) -> dict[str, str]:
    return {"authorization": f"Bearer {stack.settings.api_key}"}


def test_triton_answers_over_grpc(stack, promoted) -> None:
    answers: list[Any] = []
    with tritonclient.grpc.InferenceServerClient(stack.triton["grpc"]) as client:
        client.start_stream(lambda result, error: answers.append(error or result), headers=key_header(stack))
        client.async_stream_infer(
            served_model(stack, promoted), triton_inputs(tritonclient.grpc), enable_empty_final_response=True
        )
        client.stop_stream()
    texts = [answer.as_numpy("text_output") for answer in answers]
    assert any(text is not None and text[0] for text in texts), answers


def test_triton_answers_over_http(stack, promoted) -> None:
    with tritonclient.http.InferenceServerClient(stack.triton["http"]) as client:
        assert client.is_server_ready()
        assert client.is_model_ready(served_model(stack, promoted), headers=key_header(stack))
    response = httpx.post(
        f"http://{stack.triton['http']}/v2/models/{served_model(stack, promoted)}/generate",
        headers=key_header(stack),
        json={"text_input": "def add(", "stream": False, "sampling_parameters": '{"max_tokens": 8}'},
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    assert response.json()["text_output"]


def test_requests_reach_clickhouse_and_every_named_query_runs(stack, promoted) -> None:
    client = clickhouse_connect.get_client(**clickhouse(stack.settings))
    sql = "SELECT count() FROM ropewalk.inference WHERE model = {model:String} AND status = 200"
    rows = 0
    for _ in range(100):
        rows = client.query(sql, parameters={"model": promoted.model}).result_rows[0][0]
        if rows >= 3:
            break
        asyncio.run(asyncio.sleep(0.2))
    assert rows >= 3
    client.close()
    names = [query["name"] for query in stack.json("query", "--list")]
    assert len(names) >= 8
    for name in names:
        done = stack.ropewalk("query", name, "--json")
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def test_complete_talks_to_the_model(stack, promoted) -> None:
    done = stack.ropewalk("complete", "def add(", "--max-tokens", "8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_run_is_watched_reported_and_its_model_listed(stack, promoted, tmp_path) -> None:
    watched = stack.ropewalk("watch", "small")
    assert watched.returncode == 0, watched.stderr
    assert f"promoted as {promoted.model}@{promoted.model_version}" in watched.stdout
    page = Path(stack.json("report", "small", "--into", str(tmp_path))["html"]).read_text()
    assert 'class="sample"' in page
    assert [promoted.model] in [each["names"] for each in stack.json("models")]


def test_every_service_said_only_what_it_may_and_was_refused_nothing(stack, promoted) -> None:
    async def by_source(client: Client) -> dict[str, set[type[Message]]]:
        said: dict[str, set[type[Message]]] = {}
        for stream, plane in (("CONTROL", "evt.>"), ("TEL", "tel.>"), ("INFER", "log.>")):
            async for stored in client.bus.read(plane, stream=stream):
                said.setdefault(stored.envelope.source.removeprefix("/svc/"), set()).add(type(stored.message))
        return said

    said = call(by_source, stack.settings)
    assert set(SERVICE_USERS) <= set(said)
    for service in SERVICE_USERS:
        assert said[service] <= set(emitted_by(service)), service
    assert not [text for text in stack.logs() if "refused by the bus" in text or "Permissions Violation" in text]


@pytest.mark.embedded("compose publishes the ports that .env names, and fails where one is taken")
def test_ports_that_were_taken_are_replaced(stack, promoted) -> None:
    assert stack.port("nats") != 4222
    assert stack.port("openai") != 8080


@pytest.mark.embedded("seen from outside there are services and no processes, and the addresses are the user's own")
def test_status_names_all_processes_and_endpoints(stack) -> None:
    status = stack.status()
    services = {process["service"] for process in status["processes"]}
    assert {
        "ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "monitor", "serving",
    } <= services  # fmt: skip
    assert {"nats", "openai", "triton_http", "triton_grpc", "clickhouse_http"} <= set(status["endpoints"])
    assert status["endpoints"]["openai"].endswith("/v1")
    assert status["demo_key"]


def test_a_second_run_is_compared_with_the_model_in_production(stack, small_recipe, promoted) -> None:
    stack.submit(small_recipe | {"seed": 18, "trials": 0}, "small-again")
    decided = stack.until("small-again", GateDecided)
    assert f"{promoted.model}@{promoted.model_version}" in decided.baseline
    outcome = stack.until("small-again", RunCompleted).outcome
    stages = [event.stage for event in stack.timeline("small-again") if isinstance(event, StageCompleted)]
    assert ("deploy" in stages) == (decided.decision == "promote")
    assert outcome == {"promote": "promoted", "reject": "rejected", "need_more": "need_more"}[decided.decision]
