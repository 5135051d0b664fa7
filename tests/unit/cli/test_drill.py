"""The commands of `ropewalk drill` and the drills that they play."""

import pytest

from ropewalk.cli.commands import drill
from ropewalk.drills.catalogue import DRILLS
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.scene import DrillOptions


def test_every_drill_has_a_command() -> None:
    assert set(drill._COMMANDS) == {each.name for each in DRILLS}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("kill-broker --minutes 2", DrillOptions(patience_s=120.0)),
        ("kill-service --service ingest --run r --seed 3", DrillOptions(service="ingest", run_id="r", seed=3)),
        ("fill-disk --hold 20", DrillOptions(hold_s=20.0)),
    ],
)
def test_what_is_asked_for_reaches_the_drill(arguments, options, ropewalk, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    played = []

    async def noted(name: str, _: object, chosen: DrillOptions, *__: object) -> None:
        played.append((name, chosen))
        raise NotPreparedError("this stack is not there")

    monkeypatch.setattr(drill, "run_drill", noted)
    code, _, error = ropewalk("drill", *arguments.split())

    assert code == 2
    assert "this stack is not there" in error
    assert played == [(arguments.split()[0], options)]
