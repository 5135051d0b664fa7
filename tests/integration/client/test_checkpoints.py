"""`checkpoints` on a real log and a real store, with the checkpoint-manager's answers played by the test."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ropewalk.cli.tree import app
from ropewalk.client import Client, ClientSettings
from ropewalk.errors import RopewalkError
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointSaved
from ropewalk.events.run import RunAccepted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects

Ropewalk = Callable[..., Result]


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
def ropewalk(nats_server: Any, objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> Ropewalk:
    """Runs a command against the broker and the store."""
    for name, value in {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_CLIENT_OBJECTS_URL": objects.root.as_uri(),
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def run(nats_server: Any, objects: LocalObjects, tmp_path: Path) -> str:
    """A run with five verified checkpoints, of which the policy keeps three."""
    recipe = resolve_recipe({"base": "python-stdlib-tiny", "training": {"keep_history": 0}})
    messages: list[Message] = [RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256())]
    for step in (10, 20, 30, 40, 50):
        folder = tmp_path / "new"
        folder.mkdir()
        (folder / "model.safetensors").write_text(f"weights {step}")
        uri, name = f"runs/r/checkpoints/1-{step}", f"r-1-{step}"
        sha256 = objects.publish(folder, uri, {"step": step}).sha256
        common = {"run_id": "r", "checkpoint_id": name, "step": step, "uri": uri, "manifest_sha256": sha256}
        messages.append(CheckpointSaved.model_validate(common | {"epoch": 1, "num_bytes": 9, "blocked_s": 0.0}))
        messages.append(CheckpointCommitted.model_validate(common))

    async def publish() -> None:
        async with await Client.connect(ClientSettings(nats=nats_server.settings)) as client:
            for message in messages:
                await client.bus.publish(message)

    asyncio.run(publish())
    return "r"


def test_a_run_s_checkpoints_are_listed_shown_verified_and_compared(
    ropewalk: Ropewalk, run: str, objects: LocalObjects
) -> None:
    listed = json.loads(ropewalk("checkpoints", "list", run, "--json").stdout)
    assert [(row["step"], row["state"], row["kept_as"]) for row in listed] == [
        (10, "verified", ""),
        (20, "verified", ""),
        (30, "verified", "last"),
        (40, "verified", "last"),
        (50, "verified", "last"),
    ]
    assert "r-1-50" in ropewalk("checkpoints", "list", run).stdout
    shown = json.loads(ropewalk("checkpoints", "show", "r-1-50", "--json").stdout)
    assert (shown["fault"], shown["meta"], list(shown["files"])) == ("", {"step": 50}, ["model.safetensors"])
    dry = json.loads(ropewalk("checkpoints", "prune", run, "--dry-run", "--json").stdout)
    assert dry == {"dry_run": True, "pruned": ["r-1-10", "r-1-20"]}
    found = json.loads(ropewalk("checkpoints", "diff", "r-1-40", "r-1-50", "--json").stdout)
    assert (found["different"], found["meta"]) == (["model.safetensors"], {"step": [40, 50]})
    assert ropewalk("checkpoints", "verify", run).exit_code == 0
    (objects.fetch("runs/r/checkpoints/1-20") / "model.safetensors").write_text("weights 2O")
    verdict = ropewalk("checkpoints", "verify", run)
    assert verdict.exit_code == 1
    assert "model.safetensors has another SHA-256" in verdict.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "nothing"), "is no checkpoint id"),
        (("pin", "r-1-60"), "there is no checkpoint 'r-1-60'"),
        (("diff", "r-1-10", "r-9-9"), "there is no checkpoint 'r-9-9'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    ropewalk: Ropewalk, run: str, words: tuple[str, ...], sentence: str
) -> None:
    error = ropewalk("checkpoints", *words).exception
    assert isinstance(error, RopewalkError)
    assert sentence in str(error)
