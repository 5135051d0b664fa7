"""The card as one HTML page."""

from collections.abc import Iterable, Sequence
from html import escape

from ropewalk.events.foreign import one_line, several_lines
from ropewalk.report.card import ReportCard
from ropewalk.report.charts import interval_chart, loss_chart, stage_chart
from ropewalk.report.facts import (
    LEAST_WAITING_S,
    comparison,
    data_sentence,
    duration,
    headline,
    key_facts,
    money,
    training_sentence,
)
from ropewalk.report.page import Page, facts_grid, render_page, section
from ropewalk.report.words import WORDS

_MOST_REASON = 2000  # characters


def render_html(card: ReportCard) -> str:
    """The page."""
    sections = [
        _why(card),
        section("Training loss", loss_chart(card.losses, card.interruptions, card.bits_per_byte) + _trained(card)),
        '<div class="two">',
        _compared(card),
        section("Time per stage", stage_chart(card.stages)),
        "</div>",
        section("What it says", _samples(card)),
        '<div class="two">',
        section("Search", _trials(card)),
        section("Cost per stage", _costs(card)),
        "</div>",
        section("Data", _note(data_sentence(card))),
        section("Recipe", _recipe(card)),
        section("Talk to it", f"<pre>{_text(card.curl)}</pre>" if card.curl else _note("no model in production")),
        section("Words", _words()),
    ]
    version = f" · dataset version {card.data.dataset_version[:16]}" if card.data else ""
    return render_page(
        Page(
            kind="Ropewalk report card",
            title=headline(card),
            heading=escape(headline(card)),
            below=f"{card.run_id} · began {card.began_at:%Y-%m-%d %H:%M:%S} UTC",
            body=f"{facts_grid(key_facts(card))}{''.join(sections)}",
            footer=(
                f"Every number is computed from the event log of the run. recipe {card.recipe_sha256[:16]}{version}"
            ),
        )
    )


def _why(card: ReportCard) -> str:
    return f'<p class="bad">{escape(one_line(card.reason, _MOST_REASON))}</p>' if card.reason else ""


def _compared(card: ReportCard) -> str:
    """Nothing for a model that was not judged."""
    rows = comparison(card)
    note = _note(_lower_is_better(card))
    return section("Bits per byte on held-out files", interval_chart(rows) + note) if rows else ""


def _trained(card: ReportCard) -> str:
    return _note(training_sentence(card))


def _samples(card: ReportCard) -> str:
    """The end of a held-out text, and in bold how the model goes on."""
    shown = "".join(
        f'<div class="sample"><p class="note">{escape(one_line(each.source))}</p>'
        f"<pre>{_text(each.prompt)}<b>{_text(each.completion)}</b></pre></div>"
        for each in card.samples
    )
    if not shown:
        return _note("no samples: the model was not judged, or its evaluation is not in the object store")
    return _note("Ends of held-out texts, and in bold how the model goes on, always with the likeliest token.") + shown


def _recipe(card: ReportCard) -> str:
    if not card.recipe_text:
        return _note("no recipe was accepted")
    return f"<details><summary>{escape(one_line(card.recipe))}</summary><pre>{_text(card.recipe_text)}</pre></details>"


def _words() -> str:
    entries = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS)
    return f"<details><summary>what the words on this page mean</summary><dl>{entries}</dl></details>"


def _text(text: str) -> str:
    """Foreign text with its lines; direction marks and control characters are written out."""
    return escape(several_lines(text))


def _trials(card: ReportCard) -> str:
    if not card.trials:
        return _note("no trials were asked for")
    names = sorted({name for trial in card.trials for name in trial.params})
    rows = [
        (
            "chosen" if trial.chosen else "",
            (
                str(trial.trial),
                *(f"{trial.params[name]:.3g}" if name in trial.params else "" for name in names),
                str(trial.num_steps),
                f"{trial.loss:.3f}",
                trial.status,
            ),
        )
        for trial in card.trials
    ]
    return _table(("trial", *names, "steps", "loss", "state"), rows)


def _costs(card: ReportCard) -> str:
    rows = [
        ("", (stage.name, duration(stage.seconds), f"{stage.cpu_seconds:,.1f}", money(stage.usd)))
        for stage in card.stages
    ]
    if card.waiting_s >= LEAST_WAITING_S:
        rows.append(("", ("waiting and retries", duration(card.waiting_s), "", "")))
    total = ("start to end", duration(card.seconds), f"{card.cpu_seconds:,.1f}", money(card.usd))
    return _table(("stage", "time", "CPU-seconds", "cost"), [*rows, ("total", total)])


def _lower_is_better(card: ReportCard) -> str:
    gain = card.gate.comparison if card.gate else None
    if gain is None:
        return "lower is better"
    return (
        f"Lower is better. Paired difference to {gain.subject}: {gain.value:.3f}"
        f" [{gain.lower:.3f}, {gain.upper:.3f}] bits per byte over {gain.num_items} files."
    )


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(head: Iterable[str], rows: Sequence[tuple[str, Iterable[str]]]) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{kind}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>' for kind, cells in rows
    )
    table = f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="table">{table}</div>'
