"""`ropewalk keys`, on a state folder whose stack is down."""

import json
import stat

import pytest
from typer.testing import CliRunner

from ropewalk.admin.access import USERS
from ropewalk.cli.commands.keys import NoKeysError, UnknownUserError
from ropewalk.cli.tree import app
from ropewalk.local.broker.keys import SeedFileError, ensure_keys


@pytest.fixture
def run_cli():
    """Runs a command and returns what it prints; raises what it raises."""

    def run(*arguments) -> str:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


@pytest.fixture
def state_dir(tmp_path):
    ensure_keys(tmp_path / "keys", USERS)
    return tmp_path


def test_every_user_is_listed_with_its_public_key_and_no_seed(run_cli, state_dir):
    listed = json.loads(run_cli("keys", "list", "--json", "--state-dir", state_dir))

    assert [user["user"] for user in listed["users"]] == list(USERS)
    assert all(user["public_key"].startswith("U") for user in listed["users"])
    seeds = [path.read_text().strip() for path in (state_dir / "keys").iterdir()]
    assert not [seed for seed in seeds if seed in json.dumps(listed)]


def test_rights_of_a_user_are_shown(run_cli, state_dir):
    shown = json.loads(run_cli("keys", "show", "evaluator", "--json", "--state-dir", state_dir))

    assert "evt.evaluation.gate_decided.v1.*" in shown["publish"]
    assert "may publish on" in run_cli("keys", "show", "evaluator", "--state-dir", state_dir)


def test_a_seed_is_exported_for_its_owner_only_and_never_over_a_file(run_cli, state_dir):
    file = state_dir / "operator.seed"

    exported = json.loads(run_cli("keys", "export", file, "--json", "--state-dir", state_dir))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert exported["environment"] == {"ROPEWALK_NATS_USER": "operator", "ROPEWALK_NATS_NKEY_FILE": str(file)}
    with pytest.raises(SeedFileError, match="no seed is written over"):
        run_cli("keys", "export", file, "--state-dir", state_dir)


def test_a_key_is_rotated_while_the_stack_is_down(run_cli, state_dir):
    before = json.loads(run_cli("keys", "show", "trainer", "--json", "--state-dir", state_dir))["public_key"]

    rotated = json.loads(run_cli("keys", "rotate", "trainer", "--json", "--state-dir", state_dir))

    assert rotated["public_key"] != before
    assert not rotated["live"]


def test_an_unknown_user_and_a_folder_without_keys_are_named(run_cli, state_dir, tmp_path_factory):
    with pytest.raises(UnknownUserError, match=r"no user 'nobody'.*choose one of ingest"):
        run_cli("keys", "show", "nobody", "--state-dir", state_dir)
    with pytest.raises(NoKeysError, match="`ropewalk up` makes it"):
        run_cli("keys", "list", "--state-dir", tmp_path_factory.mktemp("empty"))
