"""`ropewalk upgrade` on a state folder whose stack is down."""

import json
from pathlib import Path

from ropewalk.local.layout import layout_of


def test_the_command_names_the_order_and_refuses_the_way_back(tmp_path: Path, ropewalk) -> None:  # type: ignore[no-untyped-def]
    place = layout_of(tmp_path / "old")
    place.create()
    code, out, _ = ropewalk("upgrade", f"--state-dir={place.state_dir}")
    assert code == 0
    assert out.index("backup") < out.index("ropewalk down") < out.index("ropewalk up")
    place.release_file.write_text(json.dumps({"version": "9.0.0", "tables": 99}))
    code, out, _ = ropewalk("upgrade", "--json", f"--state-dir={place.state_dir}")
    assert (code, json.loads(out)["possible"]) == (1, False)
