"""Commands about a bus that is away, or about a stack elsewhere: a sentence at once, and exit code 2."""

import pytest

COMMANDS = ["bus apply", "bus apply --dry-run", "bus drift", "backup FOLDER", "models", "upgrade"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_with_a_sentence_where_the_bus_is_away(command, ropewalk, tmp_path, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://127.0.0.1:1")

    code, _, said = ropewalk(*command.replace("FOLDER", str(tmp_path / "kept")).split())

    assert code == 2
    assert "the bus at nats://127.0.0.1:1 does not answer" in said
    assert said.count("\n") == 1
