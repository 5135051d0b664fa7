"""Where the client looks, what it calls runs, and what it says about messages."""

import json
import re
from datetime import UTC, datetime

import pytest

from ropewalk.client import ClientError, clickhouse, find_settings
from ropewalk.client.describe import describe
from ropewalk.client.run_id import check_run_id, new_run_id
from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.run import RunCancelled, RunCompleted, RunEnding, SubmitRun
from ropewalk.local.broker.keys import ensure_keys


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """A state folder as the supervisor leaves it, and an environment that says nothing."""
    for name in ("ROPEWALK_NATS_URL", "ROPEWALK_NATS_USER", "ROPEWALK_OBJECTS_URL", "ROPEWALK_CLIENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    endpoints = {"nats": "nats://127.0.0.1:4333", "openai": "http://127.0.0.1:1/v1", "clickhouse_http": "http://x:2"}
    (tmp_path / "stack.json").write_text(json.dumps({"endpoints": endpoints}))
    ensure_keys(tmp_path / "keys", ("operator",))
    secrets = {"demo_key": "key", "clickhouse_token": "password"}
    (tmp_path / "credentials.json").write_text(json.dumps(secrets))
    return tmp_path


def test_files_of_the_embedded_stack_say_where_everything_is(stack):
    settings = find_settings(stack)

    assert (settings.nats.url, settings.nats.user) == ("nats://127.0.0.1:4333", "operator")
    assert settings.nats.nkey_file == stack / "keys" / "operator.seed"
    assert (settings.openai_url, settings.api_key) == ("http://127.0.0.1:1/v1", "key")
    assert (settings.clickhouse_url, settings.clickhouse_token) == ("http://x:2", "password")
    assert settings.objects_url == (stack / "objects").as_uri()


def test_the_command_line_has_a_user_of_its_own_unless_the_environment_names_one(stack, monkeypatch):
    secrets = {"clickhouse_token": "handed around", "clickhouse_operator_token": "mine"}
    (stack / "credentials.json").write_text(json.dumps(secrets))
    settings = find_settings(stack)
    assert (settings.clickhouse_user, settings.clickhouse_token) == ("ropewalk_operator", "mine")
    monkeypatch.setenv("ROPEWALK_CLIENT_CLICKHOUSE_USER", "ropewalk")
    settings = find_settings(stack)
    assert (settings.clickhouse_user, settings.clickhouse_token) == ("ropewalk", "handed around")


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:9123", ("127.0.0.1", 9123, False)),
        ("https://tables.example", ("tables.example", 8443, True)),
        ("http://[::1]:8124", ("::1", 8124, False)),
    ],
)
def test_clickhouses_own_client_is_told_where_to_go_and_who_asks(stack, monkeypatch, url, where):
    monkeypatch.setenv("ROPEWALK_CLIENT_CLICKHOUSE_URL", url)

    told = clickhouse(find_settings(stack))

    assert (told["host"], told["port"], told["secure"]) == where
    assert (told["username"], told["password"]) == ("ropewalk", "password")


def test_environment_wins_over_the_files(stack, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://elsewhere:4222")
    monkeypatch.setenv("ROPEWALK_NATS_USER", "ann")
    monkeypatch.setenv("ROPEWALK_NATS_PASSWORD", "hers")
    monkeypatch.setenv("ROPEWALK_CLIENT_API_KEY", "mine")

    settings = find_settings(stack)

    assert (settings.nats.url, settings.api_key) == ("nats://elsewhere:4222", "mine")
    assert (settings.nats.user, settings.nats.nkey_file) == ("ann", None)


def test_password_in_the_address_is_enough_and_is_never_shown(stack, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://ann:hers@elsewhere:4222")

    settings = find_settings(stack)

    assert settings.nats.nkey_file is None
    assert settings.nats.address == "nats://elsewhere:4222"
    assert "hers" not in repr(settings)


def test_folder_that_never_ran_gives_the_usual_addresses(tmp_path, monkeypatch):
    monkeypatch.delenv("ROPEWALK_NATS_URL", raising=False)

    assert find_settings(tmp_path).nats.url == "nats://127.0.0.1:4222"


def test_run_id_has_recipe_time_and_four_hex_digits_and_fits_the_contract():
    run_id = new_run_id("python-stdlib", datetime(2026, 11, 23, 10, 15, 1, tzinfo=UTC))

    assert re.fullmatch(r"python-stdlib-261123-101501-[0-9a-f]{4}", run_id)
    assert re.match(RUN_ID_PATTERN, new_run_id("x" * 60, datetime.now(UTC)))


@pytest.mark.parametrize("wrong", ["", "With-Capitals", "a.b", "-x", "a" * 64, "a>"])
def test_wrong_run_id_is_refused_with_the_rule(wrong):
    with pytest.raises(ClientError, match="lower-case letters, digits"):
        check_run_id(wrong)


def test_messages_are_described_in_words_and_unknown_ones_in_none():
    assert describe(RunCompleted(run_id="a", outcome="promoted", model="m", model_version=2)) == "promoted as m@2"
    cost = CostRecorded(
        run_id="a", stage="train", epoch=1, seconds=1.0, cpu_seconds=3.0, usd=0.00003, usd_per_cpu_hour=0.04
    )
    assert describe(cost) == "train: 3.0 CPU-seconds, $0.00003"
    assert describe(RunCancelled(run_id="a", mode="now", reason="wrong data")) == "at once: wrong data"
    assert describe(SubmitRun(run_id="a", recipe={"base": "b"}, priority=2, owner="me")) == "b, priority 2, for me"
    assert describe(RunEnding(run_id="a", kind="failed", event_id="e")) == ""
