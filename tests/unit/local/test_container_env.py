"""The `.env` of a stack in containers, which people edit: read as compose reads it, and never overruled in silence."""

from pathlib import Path

import pytest

from ropewalk.local.container_env import EnvironmentFileError, Published, ensure_environment, passed_over


def asked(project: str = "ropewalk", ports_from: int = 0) -> Published:
    return Published(keys=Path("keys"), project=project, ports_from=ports_from)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ROPEWALK_PORT_NATS=12001", "12001"),
        ("ROPEWALK_PORT_NATS=12001 # mine", "12001"),
        ("ROPEWALK_PORT_NATS=12001\r", "12001"),
        ("export ROPEWALK_PORT_NATS='12001'", "12001"),
        ('ROPEWALK_PORT_NATS="12001" # mine', "12001"),
        ('ROPEWALK_PORT_NATS="12 # 001"', "12 # 001"),
        ("ROPEWALK_PORT_NATS=12#001", "12#001"),
        ("ROPEWALK_PORT_NATS=#1", "#1"),
        ("ROPEWALK_PORT_NATS= # none", ""),
        ("ROPEWALK_PORT_NATS=", ""),
        ("# ROPEWALK_PORT_NATS=12001", "4222"),
    ],
)
def test_a_line_is_read_as_compose_reads_it(line: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(f"A=b\n{line}\nC=d\n".encode())
    told = ensure_environment(file, asked())
    assert (told["A"], told["ROPEWALK_PORT_NATS"], told["C"]) == ("b", value, "d")


def test_an_option_that_an_older_line_overrules_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    told = ensure_environment(file, asked("mine", 12001))
    assert passed_over(told, asked("mine", 12001)) == passed_over(told, asked()) == {}
    assert passed_over(told, asked("other")) == {"COMPOSE_PROJECT_NAME": "mine"}
    assert passed_over(told, asked("mine", 13001))["ROPEWALK_PORT_NATS"] == "12001"


def test_a_file_that_is_not_utf_8_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=b\nC=\xff\n")
    with pytest.raises(EnvironmentFileError, match="not UTF-8 in line 2"):
        ensure_environment(tmp_path / ".env", asked())
