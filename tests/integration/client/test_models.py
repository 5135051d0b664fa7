"""`models` and `complete` on a real log: what is said about the endpoint, and that retiring is waited for."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ropewalk.cli.tree import app
from ropewalk.client import Client, ClientSettings
from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted, RunCompleted
from ropewalk.events.serving import ModelDeployed, ModelRetired, RetireModel, TrafficShifted
from ropewalk.recipes.bases import Base
from ropewalk.storage.local import LocalObjects

Ropewalk = Callable[..., Result]


@pytest.fixture
def settings(nats_server: Any) -> ClientSettings:
    return ClientSettings(nats=nats_server.settings)


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Answers every completion with two pieces; keeps what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = b'data: {"choices": [{"text": "a, b\\u001b[2J"}]}\n\ndata: [DONE]\n\n'
            is_known = asked[-1]["model"] != "nope"
            if not is_known:
                body = b'{"error": {"message": "there is no model nope"}}'
            self.send_response(200 if is_known else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ropewalk(nats_server: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Ropewalk:
    """Runs a command against the broker and the endpoint."""
    for name, value in {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_CLIENT_OPENAI_URL": endpoint[0],
        "COLUMNS": "80",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def ended(settings: ClientSettings, outcome: str) -> None:
    async def publish() -> None:
        async with await Client.connect(settings) as client:
            await client.bus.publish(RunCompleted.model_validate({"run_id": "run-weak", "outcome": outcome}))

    asyncio.run(publish())


def in_production(settings: ClientSettings, *models: str) -> None:
    async def publish() -> None:
        async with await Client.connect(settings) as client:
            for model in models:
                await client.bus.publish(
                    ModelDeployed(
                        run_id=f"run-{model}",
                        model=model,
                        model_version=1,
                        checkpoint_id="c",
                        checkpoint_uri="u",
                        export_uri="exports/c",
                        evaluation_uri="v",
                        openai_url="o",
                        triton_grpc="t",
                        triton_model=f"{model}-v1",
                        load_s=1.0,
                    )
                )
                await client.bus.publish(
                    TrafficShifted(
                        run_id=f"run-{model}",
                        model=model,
                        alias="production",
                        model_version=1,
                        previous_version=0,
                        checkpoint_id="c",
                    )
                )

    asyncio.run(publish())


def test_complete_asks_the_model_that_was_promoted_last_and_says_which(
    ropewalk: Ropewalk, settings: ClientSettings, endpoint: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "no model is in production yet: `ropewalk submit" in str(ropewalk("complete", "def add(").exception)
    ended(settings, "rejected")
    refused = str(ropewalk("complete", "def add(").exception)
    assert "the gate did not let the newest run through (`ropewalk report run-weak` says why); `ropewalk sub" in refused
    in_production(settings, "zebra", "ant")

    answered = ropewalk("complete", "def add(", "--json")
    assert answered.exit_code == 0, repr(answered.exception)
    as_json = json.loads(answered.stdout)
    as_text = ropewalk("complete", "def add(")

    assert as_json == {"model": "ant@1", "prompt": "def add(", "completion": "a, b\x1b[2J"}
    assert [asked["model"] for asked in endpoint[1]] == ["ant@1", "ant@1"]
    assert "def add(a, b\\x1b[2J\n" in as_text.stdout
    assert "ant@1" in as_text.output + capfd.readouterr().err


def test_a_refused_completion_announces_nothing(ropewalk: Ropewalk, capfd: pytest.CaptureFixture[str]) -> None:
    refused = ropewalk("complete", "hi", "--model", "nope")
    assert "there is no model nope" in str(refused.exception)
    assert (refused.output, *capfd.readouterr()) == ("", "", "")


def test_a_model_that_learned_no_conversations_is_said_to_and_what_would_help(
    ropewalk: Ropewalk, settings: ClientSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    before = str(ropewalk("chat").exception)
    assert "no model is in production yet" in before
    assert "python-stdlib" not in before
    in_production(settings, "ant", "talker")
    recipes: dict[str, dict[str, Any]] = {
        "run-ant": {"sources": [{"path": "/x", "format": "auto"}]},
        "run-talker": {"sources": [{"path": "/x", "format": "chat"}]},
    }

    async def accept() -> None:
        async with await Client.connect(settings) as client:
            for run_id, recipe in recipes.items():
                await client.bus.publish(RunAccepted(run_id=run_id, recipe=recipe, recipe_sha256="h"))

    asyncio.run(accept())
    capfd.readouterr()
    said = {name: ropewalk("chat", "--model", name).output + capfd.readouterr().err for name in ("ant", "talker")}
    assert "ant learned no conversations" in " ".join(said["ant"].split())
    assert "learned no" not in said["talker"]
    assert "no model answers as 'nope'; models: ant@1, talker@1" in str(ropewalk("chat", "--model", "nope").exception)


def test_models_are_listed_shown_and_retired_when_serving_has_done_so(
    ropewalk: Ropewalk, settings: ClientSettings
) -> None:
    in_production(settings, "zebra", "ant")
    listed = json.loads(ropewalk("models", "--json").stdout)
    assert [(each["model"], each["names"]) for each in listed] == [("ant", ["ant"]), ("zebra", ["zebra"])]
    assert json.loads(ropewalk("models", "show", "zebra", "--json").stdout)[0]["run_id"] == "run-zebra"

    with answering_retirements(settings) as asked:
        gone = ropewalk("models", "retire", "zebra", "--json")
    assert json.loads(gone.stdout) == {"retired": ["zebra@1"]}
    assert [(each.run_id, each.model, each.model_version) for each in asked] == [("run-zebra", "zebra", 1)]
    assert [each["model"] for each in json.loads(ropewalk("models", "list", "--json").stdout)] == ["ant"]
    assert len(json.loads(ropewalk("models", "list", "--all", "--json").stdout)) == 2
    assert "retired already" in str(ropewalk("models", "retire", "zebra").exception)


class answering_retirements:  # a context manager that reads as one
    """Does what serving does about the request, in a thread."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self.asked: list[RetireModel] = []

    def __enter__(self) -> list[RetireModel]:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._answer()))
        self._thread.start()
        return self.asked

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)

    async def _answer(self) -> None:
        async with await Client.connect(self._settings) as client:
            async for stored in client.bus.follow(f"{RetireModel.subject_prefix()}.*"):
                request = stored.message
                assert isinstance(request, RetireModel)
                self.asked.append(request)
                await client.bus.publish(
                    ModelRetired(run_id=request.run_id, model=request.model, model_version=request.model_version)
                )
                return


def test_an_imported_model_stays_while_a_run_or_an_adapter_needs_it(
    ropewalk: Ropewalk, settings: ClientSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROPEWALK_OBJECTS_URL", f"file://{tmp_path}/store")
    facts = {"source": "gguf:tiny.gguf", "licence": "mit", "family": "llama", "num_parameters": 1, "certificate": {}}
    facts |= {"context_length": 128, "has_template": False, "imported_at": "2026-11-27T01:00:00+00:00"}
    base = Base.model_validate({"name": "tiny", "content": "c" * 64, **facts})
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text("{}")
    LocalObjects(tmp_path / "store").publish(
        tmp_path / "new", base.key, base.model_dump(mode="json", exclude={"content"})
    )

    async def said(*messages: Message) -> None:
        async with await Client.connect(settings) as client:
            await client.bus.publish_all(messages, cause_id=str(messages))

    recipe = {"base_model": base.full_name, "adapter": "lora", "sources": []}
    asyncio.run(said(RunAccepted(run_id="run-ant", recipe=recipe, recipe_sha256="h")))
    assert "tiny is needed by run run-ant: it stays" in str(ropewalk("model", "remove", "tiny").exception)
    in_production(settings, "ant")
    asyncio.run(said(RunCompleted.model_validate({"run_id": "run-ant", "outcome": "promoted", "model": "ant"})))
    assert "tiny is needed by ant@1: it stays" in str(ropewalk("models", "remove", "tiny").exception)
    asyncio.run(said(ModelRetired(run_id="run-ant", model="ant", model_version=1)))
    assert ropewalk("models", "remove", "tiny").exit_code == 0
    assert "there is no imported model 'tiny'; imported: none" in str(ropewalk("models", "remove", "tiny").exception)
