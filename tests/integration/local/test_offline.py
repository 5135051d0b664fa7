"""A backup and a restore by the command line while the stack is down: the log moves to another machine's folder."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ropewalk.admin.access import OPERATOR, SUPERVISOR
from ropewalk.admin.backup import back_up
from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.cli.exit_codes import USAGE
from ropewalk.client.log import open_log
from ropewalk.client.settings import ClientSettings
from ropewalk.errors import RopewalkError
from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.run import RunAccepted, RunCompleted, SubmitRun
from ropewalk.local.broker.keys import seed_file
from ropewalk.local.broker.offline import broker_alone
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.lock import held
from ropewalk.projections.replay import rebuild
from ropewalk.recipes.builtin import resolve_recipe

NUM_RUNS = 20


def command(layout: Layout, *arguments: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROPEWALK_")}
    done = subprocess.run(
        [sys.executable, "-m", "ropewalk.cli.main", *arguments, "--state-dir", str(layout.state_dir)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def runs_that_ended(settings: NatsSettings) -> None:
    await apply_topology(settings)
    bus = await Bus.connect(settings, "test")
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    for number in range(NUM_RUNS):
        run_id = f"run-{number}"
        await bus.publish_all(
            [
                SubmitRun(run_id=run_id, recipe={"base": "python-stdlib-tiny"}),
                RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256()),
                ModelPromoted(
                    run_id=run_id,
                    model="m",
                    model_version=number,
                    alias="m",
                    checkpoint_id="c",
                    export_uri="exports/e",
                    manifest_sha256="",
                    evaluation_uri="evaluations/e",
                ),
                RunCompleted(run_id=run_id, outcome="promoted", model="m", model_version=number),
            ],
            cause_id=run_id,
        )
    await bus.close()


def hashes(settings: NatsSettings) -> dict[str, str]:
    """Every projection, rebuilt from the mirror of the log."""
    with open_log(ClientSettings(nats=settings)) as wire:
        projector, _ = rebuild(wire)
    return {name: projector.digest(name) for name in projector.names}


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    return layout_of(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    return layout_of(tmp_path / "there")


def test_a_log_that_is_moved_to_another_folder_gives_the_same_projections(here, there, tmp_path) -> None:
    with broker_alone(here) as settings:
        asyncio.run(runs_that_ended(settings))
        before = hashes(settings)
    assert {"runs", "registry"} <= before.keys()

    code, kept, error = command(here, "backup", str(tmp_path / "kept"), "--json")
    assert code == 0, error
    assert {each["name"]: each["num_messages"] for each in json.loads(kept)["streams"]}[
        "CONTROL"
    ] == 5 * NUM_RUNS  # an ending is guarded by a state
    code, told, error = command(there, "restore", str(tmp_path / "kept"))
    assert (code, "restored from" in told) == (0, True), error

    with broker_alone(there) as settings:
        assert hashes(settings) == before
    assert not list(there.state_dir.glob("offline*"))


async def test_a_backup_at_work_needs_the_rights_of_the_supervisor(plan, settings, running, tmp_path) -> None:
    await runs_that_ended(settings)

    def as_user(user: str) -> NatsSettings:
        return NatsSettings(url=settings.url, user=user, nkey_file=seed_file(plan.layout.keys, user))

    kept = await back_up(as_user(SUPERVISOR), tmp_path / "kept", lambda stream, num_bytes: None)
    assert {each.name: each.place[0] for each in kept.streams}["CONTROL"] == 5 * NUM_RUNS
    with pytest.raises(RopewalkError, match=r"user 'operator' may not publish on '\$js\.api\.stream\.snapshot\.audit'"):
        await back_up(as_user(OPERATOR), tmp_path / "refused", lambda stream, num_bytes: None)


def test_a_folder_in_use_and_a_folder_that_is_no_backup_are_said_in_a_sentence(here, tmp_path) -> None:
    here.create()
    with held(here):
        code, _, error = command(here, "restore", str(tmp_path))
        assert (code, "the stack is running: `ropewalk down` first, then restore" in error) == (USAGE, True), error
    code, _, error = command(here, "restore", str(tmp_path))
    assert (code, "is missing, so the folder was never completed" in error) == (USAGE, True)
    assert "Traceback" not in error
