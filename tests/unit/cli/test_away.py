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


@pytest.mark.parametrize("command", ["up", "demo"])
def test_no_second_stack_is_started_beside_one_that_is_named(command, ropewalk, tmp_path, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://127.0.0.1:1")

    code, _, said = ropewalk(command)

    assert code == 2
    assert "ROPEWALK_NATS_URL names a stack" in said
    assert not (tmp_path / "state").exists()


def test_a_line_of_a_log_is_cut_and_those_beside_it_are_whole(ropewalk, tmp_path):
    folder = tmp_path / "state" / "logs"
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("first\n" + "x" * 50_000 + "\nlast\n")

    _, out, _ = ropewalk("logs", "trainer")

    assert out.splitlines()[::2] == ["first", "last"]
    assert len(out) < 11_000
    assert "(50,000 characters)" in out


def test_a_path_that_only_the_containers_have_is_told_as_one(ropewalk, tmp_path, monkeypatch):
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://127.0.0.1:1")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: python-stdlib\nsources: [{path: /no/such/data, licence: MIT}]\n")

    for command in (("init", "/no/such/data"), ("submit", str(recipe), "--dry-run")):
        code, _, said = ropewalk(*command)
        assert code == 2
        assert "'/no/such/data' is not on this machine" in said
        assert "inside the containers" in said
