"""The fast way of `ropewalk runs`: what it takes on, where it looks, what it prints."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ropewalk.bus.wire import Address
from ropewalk.cli.quick import QuickListing, find_address, parse
from ropewalk.cli.screens.run_list import print_runs

RUN = {
    "run_id": "mine-1",
    "status": "running",
    "stage": "train",
    "started_at": "2026-11-23T10:15:00.000000Z",
    "detail": "",
    "model": "",
    "model_version": 0,
}


@pytest.mark.parametrize(
    ("line", "listing"),
    [
        ("runs", QuickListing()),
        ("runs --json", QuickListing(as_json=True)),
        ("runs --limit 5 --status=failed", QuickListing(limit=5, status="failed")),
        ("runs --state-dir /tmp/x --limit=7", QuickListing(limit=7, state_dir=Path("/tmp/x"))),
    ],
)
def test_plain_lists_are_taken_on(line, listing):
    assert parse(line.split()) == listing


@pytest.mark.parametrize(
    "line", ["", "show r", "runs show r", "runs --help", "runs --limit", "runs --limit 0", "runs --limit x", "runs -h"]
)
def test_everything_else_is_left_to_the_command_proper(line):
    assert parse(line.split()) is None


def test_the_environment_names_the_bus_or_the_stack_of_the_state_folder_does(tmp_path):
    (tmp_path / "stack.json").write_text(json.dumps({"endpoints": {"nats": "nats://127.0.0.1:4111"}}))
    (tmp_path / "keys").mkdir()
    assert find_address({}, tmp_path) is None
    (tmp_path / "keys" / "operator.seed").write_text("S")

    embedded = find_address({}, tmp_path)

    assert embedded == Address(
        url="nats://127.0.0.1:4111", user="operator", nkey_file=str(tmp_path / "keys" / "operator.seed")
    )
    assert find_address({"url": "nats://far", "user": "me", "replicas": "3"}, tmp_path) == Address(
        url="nats://far", user="me"
    )
    assert find_address({"user": "me"}, tmp_path) is None
    assert find_address({}, tmp_path / "nowhere") is None


def shown(answer, status=""):
    out = io.StringIO()
    print_runs({"sequence": 1, "time": "", **answer}, status, out, as_json=False)
    return out.getvalue().splitlines()


def test_a_list_says_how_many_runs_there_are_beyond_it():
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


def test_the_fast_way_imports_no_large_library():
    code = (
        "import sys, ropewalk.cli.main\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'asyncio', 'pydantic', 'nats', 'typer', 'rich', 'numpy', 'httpx', 'orjson', 'ssl'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
