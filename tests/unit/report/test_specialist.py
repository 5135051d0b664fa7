"""What the card says of a model that was made for one task."""

from dataclasses import replace

import pytest
from rich.console import Console

from ropewalk.client.errors import NotMeasurableError
from ropewalk.events.evaluation import Estimate
from ropewalk.events.monitoring import CostRecorded
from ropewalk.report.card import CardAnswer, Specialist
from ropewalk.report.collect import collect
from ropewalk.report.costs import compared
from ropewalk.report.facts import key_facts
from ropewalk.report.html import render_html
from ropewalk.report.picture import page_of
from ropewalk.report.specialist import measured, specialist_sentences, specialist_table
from ropewalk.report.terminal import terminal_card
from ropewalk.usecases.comparison import TaskSection
from ropewalk.usecases.tariff import load_tariff

LEVELS = {
    "candidate": {"schema_validity": 0.97, "field_accuracy": 0.91, "prompt_tokens": 40, "answer_tokens": 50},
    "base": {"schema_validity": 0.0, "field_accuracy": 0.05, "prompt_tokens": 40, "answer_tokens": 90},
    "instruction": {"schema_validity": 0.12, "field_accuracy": 0.34, "prompt_tokens": 420, "answer_tokens": 70},
    "shots": {"schema_validity": 0.4, "field_accuracy": 0.52, "prompt_tokens": 640, "answer_tokens": 60},
}
SECONDS = {"candidate": 2.0, "base": 3.5, "instruction": 6.0, "shots": 8.0}
WORDS = {
    "schema_validity": ("valid answers", "share"),
    "field_accuracy": ("right fields", "share"),
    "prompt_tokens": ("prompt tokens", ""),
    "answer_tokens": ("answer tokens", ""),
    "answer_seconds": ("seconds of a request", ""),
    "core_seconds": ("core-seconds of a request", ""),
}


def an_estimate(metric: str, value: float, width: float, **more: object) -> Estimate:
    quantity, unit = WORDS[metric]
    names = {"quantity": quantity, "unit": unit, "items": "held-out examples", "subject": "base model"} | more
    bounds = {"value": value, "lower": value - width, "upper": value + width, "level": 0.95, "num_items": 96}
    return Estimate(metric=metric, method="m", **bounds, **names)


def a_section(**changes: object) -> TaskSection:
    levels = {
        name: values | {"answer_seconds": 3 * SECONDS[name], "core_seconds": SECONDS[name]}
        for name, values in LEVELS.items()
    }
    ours = levels["candidate"]
    fields = {
        "opponent": "instruction",
        "num_examples": 96,
        "num_held_out": 120,
        "num_threads": 2,
        "has_schema": True,
        "num_shots": 3,
        "max_answer_tokens": 96,
        "levels": {
            name: {metric: an_estimate(metric, value, 0.03 if value < 1 else 2) for metric, value in values.items()}
            for name, values in levels.items()
        },
        "gains": {
            name: {metric: an_estimate(metric, ours[metric] - values[metric], 0.05, paired=True) for metric in values}
            for name, values in levels.items()
            if name != "candidate"
        },
        "num_unfit": {"shots": 2},
        "definitions": {},
    }
    return TaskSection.model_validate(fields | changes)


@pytest.fixture
def card(demo_evidence):
    answers = (CardAnswer(question="def f(<x>): ...", before="It is <b>f</b>.", after='{"name":"f"}', wanted="{}"),)
    return collect(replace(demo_evidence, specialist=Specialist(section=a_section(), answers=answers)))


def test_every_metric_and_the_price_stand_before_and_after_with_intervals(card) -> None:
    table = specialist_table(card.specialist)
    assert table.head[1:3] == ("this model", "base, instruction")
    rows = {row.cells[0]: row.cells[1:] for row in table.rows}
    assert rows["right fields"][:2] == ("91% [88%, 94%]", "34% [31%, 37%]")
    assert rows["right fields"][2] == "57 [52, 62] points"
    assert rows["prompt tokens"][0] == "40 [38, 42]"
    assert rows["seconds of a request"][0] == "6.00 [4.00, 8.00] s"
    # 2 s of a core at $0.04 an hour, paid for twice as long as it is busy
    assert rows["USD per 1,000 requests"][0] == "$0.04444"
    assert rows["USD per 1,000 requests"][1] == "$0.13333"


def test_a_value_without_spread_has_no_brackets() -> None:
    assert measured(an_estimate("prompt_tokens", 420, 0), "prompt_tokens") == "420"


def test_break_even_is_from_the_cost_of_the_run_and_says_what_is_assumed(card) -> None:
    said = list(specialist_sentences(card))
    assert "96 of the 120 held-out examples were asked, chosen by seed." in said
    assert any("2 of 96 prompts do not fit the context of 'shots'" in each for each in said)
    paid = [each for each in said if each.startswith("Paid by the token")]
    assert len(paid) >= 2
    assert all("assumption" in each for each in paid)
    unpriced = replace(card, stages=tuple(replace(stage, usd=None) for stage in card.stages))
    assert any("no break-even is known" in each for each in specialist_sentences(unpriced))


def test_page_picture_and_terminal_show_the_specialist_and_escape_what_was_said(card) -> None:
    page = render_html(card)
    assert "<h2>Specialist</h2>" in page
    assert "It is &lt;b&gt;f&lt;/b&gt;." in page
    assert ("right fields", "91%") in [(name, value) for name, value, _ in key_facts(card)]
    console = Console(width=180)
    with console.capture() as captured:
        console.print(terminal_card(card))
    assert "91% [88%, 94%]" in captured.get()
    assert any("91% [88%, 94%]" in getattr(mark, "text", "") for _, _, mark in page_of(card).marks)


def test_a_run_without_a_task_has_no_such_section(demo_evidence) -> None:
    assert "Specialist" not in render_html(collect(demo_evidence))


def test_a_comparison_counts_what_the_card_counts_and_waits_for_every_price(card, demo_timeline) -> None:
    found = compared("r", demo_timeline, a_section(), load_tariff())
    assert found.run.usd == pytest.approx(card.usd)
    assert found.ways["a small model, paid by the token"][0].training == found.run.usd
    priced = [each for each in demo_timeline if isinstance(each.message, CostRecorded)]
    with pytest.raises(NotMeasurableError, match="not priced yet"):
        compared("r", [each for each in demo_timeline if each != priced[0]], a_section(), load_tariff())


def test_an_evaluation_of_before_is_shown_and_not_priced(card) -> None:
    section = a_section()
    levels = {
        name: {metric: each for metric, each in of.items() if metric != "core_seconds"}
        for name, of in section.levels.items()
    }
    old = Specialist(section=section.model_copy(update={"levels": levels}), answers=())
    assert specialist_table(old).rows[-1].cells[1:3] == ("not priced", "not priced")
    assert list(specialist_sentences(replace(card, specialist=old)))[-1].endswith("nothing is priced.")


def test_an_evaluation_that_does_not_say_what_a_request_took_is_not_compared(demo_timeline) -> None:
    section = a_section()
    levels = {name: {**of} for name, of in section.levels.items()}
    del levels[section.before]["core_seconds"]
    with pytest.raises(NotMeasurableError, match="does not say what a request took"):
        compared("r", demo_timeline, section.model_copy(update={"levels": levels}), load_tariff())
