"""`ropewalk runs`: where it looks and what it prints."""

import json

import pytest

from ropewalk.bus.wire import Address
from ropewalk.cli.screens.run_list import print_runs
from ropewalk.cli.settings import find_address

RUN = {
    "run_id": "mine-1",
    "status": "running",
    "stage": "train",
    "started_at": "2026-11-23T10:15:00.000000Z",
    "detail": "",
    "model": "",
    "model_version": 0,
}


@pytest.fixture
def state_dir(tmp_path, monkeypatch):
    """A stack's files, and an environment that says nothing about the bus."""
    for name in ("URL", "USER", "PASSWORD", "NKEY_FILE", "TLS_CA"):
        monkeypatch.delenv(f"ROPEWALK_NATS_{name}", raising=False)
    (tmp_path / "stack.json").write_text(json.dumps({"endpoints": {"nats": "nats://127.0.0.1:4111"}}))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "operator.seed").write_text("S")
    return tmp_path


def test_the_stack_of_the_state_folder_is_asked_as_its_operator(state_dir):
    seed = state_dir / "keys" / "operator.seed"

    assert find_address(state_dir) == Address(url="nats://127.0.0.1:4111", user="operator", nkey_file=str(seed))


def test_the_bus_that_the_environment_names_is_asked_instead(state_dir, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://far")
    monkeypatch.setenv("ROPEWALK_NATS_USER", "me")

    assert find_address(state_dir) == Address(url="nats://far", user="me")


@pytest.mark.parametrize("missing", ["stack.json", "keys/operator.seed"])
def test_without_an_address_or_a_key_the_settings_must_decide(state_dir, missing):
    (state_dir / missing).unlink()

    assert find_address(state_dir) is None


def test_a_user_without_an_address_is_for_the_settings_too(state_dir, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_USER", "me")

    assert find_address(state_dir) is None


@pytest.fixture
def shown(capsys):
    """The lines that a list prints."""

    def lines(answer, status=""):
        print_runs({"sequence": 1, "time": "", **answer}, status, as_json=False)
        return capsys.readouterr().out.splitlines()

    return lines


def test_a_list_says_how_many_runs_there_are_beyond_it(shown):
    waiting = RUN | {"run_id": "other-22", "status": "queued", "detail": "waits"}

    assert shown({"runs": [RUN, waiting], "matching": 2, "total": 2}) == [
        "mine-1    11-23 10:15  running, train",
        "other-22  11-23 10:15  queued, train",
        "  waits",
    ]
    assert shown({"runs": [RUN], "matching": 9, "total": 9})[-1] == "the newest 1 of 9 runs; --limit shows more"
    words = shown({"runs": [RUN], "matching": 3, "total": 9}, "running")[-1]
    assert words == "the newest 1 of 3 running runs (9 in all); --limit shows more"
    assert shown({"runs": [], "matching": 0, "total": 1_200}, "failed") == ["none of 1,200 runs is failed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--status", "lost"), "--status 'lost' is not known: choose one of submitted, queued, running"),
        (("--limit", "0"), "greater than or equal to 1"),
        (("show",), "'show' is not understood: write `ropewalk runs show RUN`"),
    ],
)
def test_what_cannot_be_asked_for_is_named_with_the_remedy(ropewalk, arguments, sentence):
    code, _, error = ropewalk("runs", *arguments)

    assert code == 2
    assert sentence in " ".join(error.split())
