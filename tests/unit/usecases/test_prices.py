"""What a thousand requests cost, and when a training has paid for itself."""

import datetime
from pathlib import Path

import pytest

from ropewalk.recipes.device_table import DEVICES
from ropewalk.recipes.recipe import RecipeError
from ropewalk.usecases.prices import HourPrice, Switch, TokenPrice
from ropewalk.usecases.tariff import load_tariff

TODAY = datetime.date(2026, 11, 27)


def test_a_thousand_requests_cost_a_thousandth_of_the_price_of_a_million_tokens_each() -> None:
    price = TokenPrice(prompt=2.0, answer=8.0, assumption=True)
    assert price.per_1000(500, 100) == pytest.approx(500 * 2 / 1000 + 100 * 8 / 1000)


def test_hours_that_stand_idle_are_paid_by_the_requests() -> None:
    core = HourPrice(usd=0.36, assumption=True)
    assert core.per_1000(seconds=2.0, units=4) == pytest.approx(1000 * 2 * 4 * 0.0001)
    assert core.per_1000(2.0, 4, busy_share=0.25) == pytest.approx(4 * core.per_1000(2.0, 4))


def test_training_is_shared_by_the_requests_and_at_the_break_even_both_ways_cost_the_same() -> None:
    switch = Switch(now=3.0, after=1.0, training=10.0)
    assert switch.break_even_requests == pytest.approx(5000)
    assert switch.after_with_training(5000) == pytest.approx(switch.now)
    assert switch.break_even_days(500) == pytest.approx(10)
    assert switch.times_cheaper == pytest.approx(3)


def test_what_saves_nothing_never_pays_and_what_costs_nothing_has_no_ratio() -> None:
    dearer = Switch(now=1.0, after=1.0, training=0.0)
    assert dearer.break_even_requests is None
    assert dearer.break_even_days(1) is None
    assert Switch(now=1.0, after=0.0, training=1.0).times_cheaper is None


def test_every_shipped_line_is_dated_and_says_that_it_is_an_assumption() -> None:
    lines = load_tariff().lines
    assert {"small", "large", "cpu", "h100"} <= lines.keys()
    assert all(line.assumption and line.source and line.date == TODAY for line in lines.values())


def test_hours_cost_what_the_price_of_a_training_is_computed_with() -> None:
    assert {name: line.usd for name, line in load_tariff().by_hour.items()} == {
        name: kind.usd_per_hour for name, kind in DEVICES.items()
    }


def _file(folder: Path, text: str) -> Path:
    file = folder / "prices.yaml"
    file.write_text(text)
    return file


def test_a_users_line_replaces_ours_whole_and_the_others_stay(tmp_path: Path) -> None:
    text = "date: 2027-01-02\nrequests_a_day: 7\nby_token: {large: {prompt: 9, answer: 9, source: our contract}}\n"
    tariff = load_tariff(_file(tmp_path, text))
    large = tariff.by_token["large"]
    assert (large.prompt, large.assumption, large.date) == (9, False, datetime.date(2027, 1, 2))
    assert tariff.by_token["small"] == load_tariff().by_token["small"]
    assert (tariff.requests_a_day, tariff.busy_share) == (7, load_tariff().busy_share)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("by_hour: {cpu: {usd: 1, assumption: true}}", "field 'date' is missing: say of what day"),
        ("date: 2027-01-02\nby_hour: {cpu: {usd: 1}}", "by_hour.cpu: it has no source: name one, or say"),
        ("date: 2027-01-02\nby_hour: {cpu: {usd: -1, source: me}}", "'by_hour.cpu.usd' has the value -1"),
        ("date: 2027-01-02\nby_hour: {cpu: {usd: .inf, source: me}}", "'by_hour.cpu.usd' has the value inf"),
        ("date: 2027-01-02\nbusy_share: 0", "'busy_share' has the value 0"),
        ("date: 2027-01-02\nby_hour: 3", "'by_hour' has the value 3"),
        (
            "date: 2027-01-02\nhours: 3",
            "unknown field 'hours' (value 3): did you mean 'by_hour'? a tariff has the fields",
        ),
        ("- 1", "holds a list, not price table fields"),
        ("date: [", "is not a YAML price table"),
    ],
)
def test_a_price_table_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_tariff(_file(tmp_path, text))
    assert [sentence for sentence in refused.value.sentences if said in sentence], refused.value.sentences
    assert all("prices.yaml" in sentence for sentence in refused.value.sentences)
