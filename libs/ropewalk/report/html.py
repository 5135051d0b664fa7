"""The card as one self-contained HTML page: no script, no font, no picture from elsewhere."""

from collections.abc import Iterable, Sequence
from html import escape

from ropewalk.report.card import ReportCard
from ropewalk.report.charts import interval_chart, loss_chart, stage_chart
from ropewalk.report.facts import comparison, data_sentence, duration, headline, key_facts, money, training_sentence

_STYLE = """
:root { --ink: #1d2733; --soft: #5d6b7a; --rule: #e3e8ed; --accent: #0b6e8f; --bad: #b3362b; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f5f7; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 32px auto; padding: 36px 44px 28px; background: var(--paper);
  border: 1px solid var(--rule); border-radius: 8px; }
header p { margin: 0; color: var(--soft); }
h1 { margin: 2px 0 4px; font-size: 28px; line-height: 1.25; letter-spacing: -0.01em; }
h2 { margin: 0 0 10px; font-size: 13px; font-weight: 650; color: var(--soft); text-transform: uppercase;
  letter-spacing: 0.06em; }
section { margin-top: 30px; min-width: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 18px 28px;
  margin-top: 26px; padding-top: 22px; border-top: 1px solid var(--rule); }
.facts b { display: block; font-size: 21px; font-weight: 620; line-height: 1.3; font-variant-numeric: tabular-nums; }
.facts span { display: block; color: var(--soft); font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 44px; }
@media (max-width: 860px) { .two { grid-template-columns: 1fr; } main { padding: 24px 20px; } }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: var(--ink); } svg text.axis { fill: var(--soft); }
svg text.kill { fill: var(--bad); }
.grid { stroke: var(--rule); } .bar { fill: var(--accent); }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; } polyline.kept { stroke: var(--accent); }
polyline.lost { stroke: #aab4be; } line.kill { stroke: var(--bad); stroke-dasharray: 4 3; }
line.kept { stroke: var(--accent); stroke-width: 2.5; } circle.kept { fill: var(--accent); }
line.other { stroke: #8d9aa6; stroke-width: 2; } circle.other { fill: #8d9aa6; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: right; font-weight: 500; color: var(--soft); padding: 0 0 5px 14px; }
td { text-align: right; padding: 4px 0 4px 14px; border-top: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.chosen td { font-weight: 650; color: var(--accent); } tr.total td { font-weight: 650; }
p.note { margin: 8px 0 0; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
pre { margin: 0; padding: 14px 16px; background: #f3f5f7; border-radius: 6px; font-size: 13px; line-height: 1.5;
  white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { margin-top: 30px; padding-top: 14px; border-top: 1px solid var(--rule); color: var(--soft); font-size: 12px;
  overflow-wrap: anywhere; }
"""


def render_html(card: ReportCard) -> str:
    """The page."""
    sections = [
        _section("Training loss", loss_chart(card.losses, card.interruptions) + _note(training_sentence(card))),
        '<div class="two">',
        _section("Bits per byte on held-out files", interval_chart(comparison(card)) + _note(_lower_is_better(card))),
        _section("Time per stage", stage_chart(card.stages)),
        "</div>",
        '<div class="two">',
        _section("Search", _trials(card)),
        _section("Cost per stage", _costs(card)),
        "</div>",
        _section("Data", _note(data_sentence(card))),
        _section("Talk to it", f"<pre>{escape(card.curl)}</pre>" if card.curl else _note("no model in production")),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(headline(card))}</title><style>{_STYLE}</style></head><body><main>"
        f"<header><p>Ropewalk report card</p><h1>{escape(headline(card))}</h1>"
        f"<p>{escape(card.run_id)} · began {card.began_at:%Y-%m-%d %H:%M:%S} UTC</p></header>"
        f"{_facts(card)}{''.join(sections)}"
        f"<footer>Every number is computed from the event log of the run. recipe {escape(card.recipe_sha256[:16])}"
        f"{f' · dataset version {escape(card.data.dataset_version[:16])}' if card.data else ''}</footer>"
        "</main></body></html>"
    )


def _facts(card: ReportCard) -> str:
    cells = "".join(
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(remark)}</span></div>"
        for name, value, remark in key_facts(card)
    )
    return f'<div class="facts">{cells}</div>'


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
    total = ("all", duration(card.seconds), f"{card.cpu_seconds:,.1f}", money(card.usd))
    return _table(("stage", "time", "CPU-seconds", "cost"), [*rows, ("total", total)])


def _lower_is_better(card: ReportCard) -> str:
    gain = card.gate.comparison if card.gate else None
    if gain is None:
        return "lower is better"
    return (
        f"Lower is better. Paired difference to {gain.subject}: {gain.value:.3f}"
        f" [{gain.lower:.3f}, {gain.upper:.3f}] bits per byte over {gain.num_items} files."
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(head: Iterable[str], rows: Sequence[tuple[str, Iterable[str]]]) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{kind}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>' for kind, cells in rows
    )
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
