"""A state folder knows who used it last; a release that is older than its tables is refused before it starts."""

import json
from pathlib import Path

import pytest

from ropewalk.local.errors import StackStartError
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.stack import bring_up
from ropewalk.local.upgrading import Release, Upgrade, migrations, our_release, record_release, recorded_release


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = layout_of(tmp_path / "state")
    made.create()
    return made


def test_a_folder_says_which_release_used_it_last(place: Layout) -> None:
    assert recorded_release(place) == Release()
    record_release(place)
    assert recorded_release(place) == our_release()


def test_an_older_release_does_not_start_on_the_tables_of_a_newer_one(place: Layout) -> None:
    newer = our_release().tables + 1
    place.release_file.write_text(json.dumps({"version": "9.0.0", "tables": newer}))
    with pytest.raises(StackStartError, match=rf"ropewalk 9\.0\.0 has used .* version {newer}.*restore a backup"):
        bring_up(place, lambda _: None)
    assert not place.stack_file.exists()


def test_the_migrations_to_come_are_those_after_the_ones_that_the_tables_have_seen() -> None:
    ours = our_release()
    upgrade = Upgrade(running=Release(version="0.1.0", tables=ours.tables - 1), ours=ours)
    assert upgrade.tables == migrations()[-1:]
    assert not upgrade.is_way_back
    assert Upgrade(running=Release(version="9", tables=ours.tables + 1), ours=ours).is_way_back
