"""The scorecard's page and files."""

import json
import math
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from ropewalk.drills.catalogue import DRILLS, find_drill
from ropewalk.drills.errors import UnknownDrillError
from ropewalk.drills.files import last_cards, write_drill
from ropewalk.drills.page import render_drill
from ropewalk.drills.scorecard import Observed, check, conclude
from ropewalk.events.drill import DrillCompleted, DrillStarted
from ropewalk.local.layout import layout_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def a_card(drill_id: str = "drill-kill-service-1", **seen) -> DrillCompleted:
    fault = DrillStarted(drill="kill-service", drill_id=drill_id, run_id="r", target="trainer <1>")
    fields = {"detect_s": 0.3, "recover_s": 11.0, "checks": (check("fenced", True, "epoch 3 & 5"),)} | seen
    return conclude(fault, Observed(**fields), first_sequence=1, last_sequence=2)


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass  # closes itself

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    "card",
    [
        a_card(),
        a_card(recover_s=None),
        a_card(detect_s=None),
        a_card(detect_s=0.0, recover_s=0.0),
        a_card(doubled=("x",)),
    ],
)
def test_every_outcome_gives_a_whole_page_without_foreign_parts(card: DrillCompleted) -> None:
    page = render_drill(card, BEGAN)
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert "trainer &lt;1&gt;" in page
    assert "epoch 3 &amp; 5" in page
    assert ("passed" if card.passed else "failed") in page
    assert "nan" not in page
    assert "http" not in page


def test_files_hold_the_card_and_the_newest_of_each_drill_is_found(tmp_path) -> None:
    layout = layout_of(tmp_path)
    layout.create()
    assert last_cards(layout) == {}
    write_drill(a_card("drill-kill-service-1", recover_s=None), BEGAN, layout)
    written = write_drill(a_card("drill-kill-service-2"), BEGAN.replace(day=2), layout)
    facts = json.loads(written.json.read_bytes())
    assert (facts["recover_s"], facts["passed"]) == (11.0, True)
    assert last_cards(layout)["kill-service"]["drill_id"] == "drill-kill-service-2"


def test_a_time_that_never_came_is_null_in_json_and_nan_on_the_bus(tmp_path) -> None:
    layout = layout_of(tmp_path)
    layout.create()
    card = a_card(recover_s=None)
    assert math.isnan(card.recover_s)
    assert json.loads(write_drill(card, BEGAN, layout).json.read_bytes())["recover_s"] is None
    assert math.isnan(DrillCompleted.model_validate_json(card.model_dump_json()).recover_s)


def test_drills_are_found_by_name_and_unknown_ones_are_refused_with_the_list() -> None:
    assert len(DRILLS) == 8
    assert find_drill("poison").name == "poison"
    with pytest.raises(UnknownDrillError, match="choose one of kill-worker"):
        find_drill("burn-down")
