"""The three forms of the card show the same numbers and stand alone."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.events.training import StepSkipped, TrainingRolledBack, TrainingSample, TrainingValidated
from ropewalk.report.axes import ticks
from ropewalk.report.collect import CardEvidence, collect
from ropewalk.report.facts import comparisons, key_facts
from ropewalk.report.files import write_card
from ropewalk.report.html import render_html
from ropewalk.report.terminal import terminal_card

VOID = {"meta"}


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass  # closes itself

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_whole_and_loads_nothing_from_elsewhere(demo_evidence):
    page = render_html(collect(demo_evidence))

    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(", page)


def test_html_shows_every_key_fact(demo_evidence):
    card = collect(demo_evidence)

    page = render_html(card)

    assert len(key_facts(card)) >= 9
    for name, value, _ in key_facts(card):
        assert f"<span>{name}</span><b>{value}</b>" in page


def test_html_escapes_what_the_log_says(demo_evidence, at):
    timeline = [
        stored
        if stored.message.name != "alarm_raised"
        else at(900, stored.message.model_copy(update={"detail": "<script>x</script>"}))
        for stored in demo_evidence.timeline
    ]

    assert "<script>" not in render_html(collect(CardEvidence(timeline=timeline)))


def test_html_marks_the_kill_in_the_loss_chart(demo_evidence):
    assert "worker killed (SIGKILL) at step 364, back in 9.4 s" in render_html(collect(demo_evidence))


def test_a_skipped_step_is_a_dot_below_the_curve_and_its_infinite_loss_no_part_of_it(demo_evidence, at):
    skipped = at(150, StepSkipped(run_id="r", epoch=1, step=200, reason="the loss is inf"))
    steps = [row.model_copy(update={"loss": math.inf}) if row.step == 200 else row for row in demo_evidence.steps]
    card = collect(replace(demo_evidence, timeline=[*demo_evidence.timeline, skipped], steps=steps))
    html = render_html(card)
    assert 'circle class="skip"' in html
    assert "inf," not in html


def test_a_rollback_is_a_stroke_below_the_curve(demo_evidence, at):
    fields = {"epoch": 1, "attempt": 1, "resume_step": 150, "checkpoint_id": "r-1-150", "reason": "a weight is inf"}
    back = at(150, TrainingRolledBack(run_id="r", step=200, **fields))
    html = render_html(collect(replace(demo_evidence, timeline=[*demo_evidence.timeline, back])))
    assert html.count('polyline class="back"') == 2  # for a wide screen and a narrow one


def test_the_validation_loss_is_on_the_curve_and_so_is_what_the_model_said(demo_evidence, at):
    looks = [
        at(
            100 + step,
            TrainingValidated(
                run_id="r",
                epoch=1,
                step=step,
                loss=loss,
                best_step=90,
                best_loss=2.5,
                num_tokens=9,
                samples=(TrainingSample(prompt="def ", text="<b>f():"),),
            ),
        )
        for step, loss in ((90, 2.6), (90, 2.5), (180, 2.75))
    ]
    card = collect(replace(demo_evidence, timeline=[*demo_evidence.timeline, *looks]))
    assert [(look.step, look.loss) for look in card.looks] == [(90, 2.5), (180, 2.75)]
    page = render_html(card)
    assert 'class="looks"' in page
    assert "2.750 nats/token" in page
    assert "&lt;b&gt;f():" in page
    assert 'class="looks"' not in render_html(collect(demo_evidence))


def test_comparison_begins_with_the_model_and_keeps_the_honest_baselines(demo_evidence):
    bits, parsing = comparisons(collect(demo_evidence))

    assert [name for name, _ in bits.rows] == ["this model", "token unigram", "token bigram", "token trigram"]
    assert bits.title == "Bits per byte on held-out files"
    assert bits.note == (
        "Lower is better. Paired difference to token unigram: "
        "1.180 [1.130, 1.230] bits per byte over 22 held-out files."
    )
    assert (parsing.title, parsing.note) == ("Completions that parse on held-out prompts", "Higher is better.")


def test_an_older_log_that_names_only_metrics_is_compared_all_the_same(demo_evidence):
    """Its estimates have no words: those whose names end like the model's own metric are shown beside it."""

    def older(stored):
        if not isinstance(stored.message, EvaluationCompleted):
            return stored
        fields = ("metric", "value", "lower", "upper", "level", "num_items", "method", "subject")
        plain = [Estimate(**each.model_dump(include=set(fields))) for each in stored.message.estimates]
        return replace(stored, message=stored.message.model_copy(update={"estimates": tuple(plain)}))

    bits, parsing = comparisons(collect(CardEvidence(timeline=[older(each) for each in demo_evidence.timeline])))

    assert [name for name, _ in bits.rows] == ["this model", "token unigram", "token bigram", "token trigram"]
    assert "Paired difference to token unigram" in bits.note
    assert [name for name, _ in parsing.rows] == ["this model"]


def test_terminal_summary_has_headline_gate_and_alarm(demo_evidence):
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal_card(collect(demo_evidence)))

    text = captured.get()
    assert "pycode@1 · promoted" in text
    assert "promote" in text
    assert "prompt_novelty" in text


def test_written_card_lies_in_the_archive_and_in_the_folder(demo_evidence, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()

    written = write_card(collect(demo_evidence), tmp_path / "archive" / "run", folder)

    assert written.html.read_text() == (tmp_path / "archive" / "run" / "report.html").read_text()
    assert written.png.read_bytes().startswith(b"\x89PNG")


def test_card_of_a_failed_run_can_still_be_drawn(demo_evidence, tmp_path):
    card = collect(CardEvidence(timeline=demo_evidence.timeline[:3]))

    write_card(card, tmp_path / "archive", tmp_path)

    assert "not in the log" in (tmp_path / "report.html").read_text()


def test_ticks_are_round_and_inside_the_range():
    assert ticks(0.0, 810.0, 6) == [0, 200, 400, 600, 800]
    assert ticks(1.0, 1.0) == [1.0]


def test_the_loss_is_told_in_nats_per_token_and_in_bits_per_byte(demo_evidence):
    card = collect(demo_evidence)
    facts = {name: (value, remark) for name, value, remark in key_facts(card)}

    assert card.bits_per_byte(2.71) == pytest.approx(2.71 / math.log(2) / 3.21)
    assert facts["training loss"] == ("2.710 nats/token", "1.218 bits per byte of the training text")
    page = render_html(card)
    assert "bits per byte</text>" in page
    assert "bits per byte</text>" not in render_html(replace(card, tokenizer=None))


def test_the_page_has_a_dark_form_and_one_for_telephones(demo_evidence):
    page = render_html(collect(demo_evidence))

    assert "prefers-color-scheme: dark" in page
    assert page.count('class="wide"') == page.count('class="phone"') == 4
    assert not re.search(r"(fill|stroke|background): ?#", page.partition("</style>")[0])  # every colour has a dark twin


def test_the_page_has_the_recipe_and_tells_both_epochs_apart(demo_evidence):
    card = collect(demo_evidence)
    page = render_html(card)

    assert "profile: code" in page
    assert "total_steps" not in page
    assert "epoch (of training)" in page
    assert "epoch (of a lease)" in page
    assert card.epochs == pytest.approx(829_440 / 3_480_112)
    assert "read 0.24 times (epochs of training)" in page
