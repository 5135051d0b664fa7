"""`ropewalk upgrade` on a state folder whose stack is down."""

import json
from pathlib import Path

import pytest

from ropewalk.cli.commands.care.upgrade import _show
from ropewalk.local.layout import layout_of
from ropewalk.local.upgrading import Release, Upgrade, our_release


def test_the_command_names_the_order_and_refuses_the_way_back(tmp_path: Path, ropewalk) -> None:  # type: ignore[no-untyped-def]
    place = layout_of(tmp_path / "old")
    place.create()
    code, out, _ = ropewalk("upgrade", f"--state-dir={place.state_dir}")
    assert code == 0
    assert out.index("backup") < out.index("ropewalk down") < out.index("ropewalk up")
    place.release_file.write_text(json.dumps({"version": "9.0.0", "tables": 99}))
    code, out, _ = ropewalk("upgrade", "--json", f"--state-dir={place.state_dir}")
    assert (code, json.loads(out)["possible"]) == (1, False)


def test_a_plan_without_the_tables_says_why_and_what_is_known_of_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    known = Upgrade(
        running=Release(version="0.9"), ours=our_release(), streams=("stream X: absent",), unread="Code: 516."
    )
    _show(known, ("back up",))
    told = capsys.readouterr()
    assert "stream: stream X: absent" in told.out
    assert "1. back up" in told.out
    assert "the tables could not be read, so what will change in them is not known: Code: 516." in told.err
