"""The frame that the report card and the drills' scorecards share: one self-contained HTML page."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { --ink: #1d2733; --soft: #5d6b7a; --rule: #e3e8ed; --accent: #0b6e8f; --bad: #b3362b; --paper: #fff;
  --ground: #f3f5f7; --grey: #8d9aa6; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e9ef; --soft: #9dabb8; --rule: #2d3843; --accent: #58b9da;
  --bad: #f0867b; --paper: #161c22; --ground: #0e1318; --grey: #728190; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
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
polyline.lost { stroke: var(--grey); } line.kill { stroke: var(--bad); stroke-dasharray: 4 3; }
line.kept { stroke: var(--accent); stroke-width: 2.5; } circle.kept { fill: var(--accent); }
line.other { stroke: var(--grey); stroke-width: 2; } circle.other { fill: var(--grey); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: right; font-weight: 500; color: var(--soft); padding: 0 0 5px 14px; }
td { text-align: right; padding: 4px 0 4px 14px; border-top: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.chosen td { font-weight: 650; color: var(--accent); } tr.total td { font-weight: 650; }
p.note { margin: 8px 0 0; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
pre { margin: 0; padding: 14px 16px; background: var(--ground); border-radius: 6px; font-size: 13px; line-height: 1.5;
  white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.phone { display: none; } .phone svg { max-width: 460px; } .table { overflow-x: auto; }
.sample { margin-top: 12px; } .sample pre { color: var(--soft); }
.sample pre b { color: var(--accent); font-weight: 600; }
details { margin-top: 4px; } summary { cursor: pointer; color: var(--soft); font-size: 14px; }
details pre { margin-top: 8px; }
dl { margin: 8px 0 0; font-size: 14px; } dt { font-weight: 620; } dd { margin: 0 0 8px; color: var(--soft); }
p.bad { color: var(--bad); font-weight: 560; overflow-wrap: anywhere; }
@media (max-width: 600px) { .wide { display: none; } .phone { display: block; } main { margin: 0; padding: 20px 16px;
  border: 0; border-radius: 0; } h1 { font-size: 22px; overflow-wrap: anywhere; } header p { overflow-wrap: anywhere; }
  table { font-size: 13px; } th, td { padding-left: 8px; }
  .facts { grid-template-columns: 1fr 1fr; gap: 16px; } .facts b { font-size: 18px; overflow-wrap: anywhere; } }
footer { margin-top: 30px; padding-top: 14px; border-top: 1px solid var(--rule); color: var(--soft); font-size: 12px;
  overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page. `kind`, `title`, `below` and `footer` are text; `heading` and `body` are HTML, `style` is CSS on top."""

    kind: str
    title: str
    heading: str
    below: str
    body: str
    footer: str
    style: str = ""


def render_page(page: Page) -> str:
    """The whole document: no script, no font, no picture from elsewhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(page.title)}</title><style>{_STYLE}{page.style}</style></head><body><main>"
        f"<header><p>{escape(page.kind)}</p><h1>{page.heading}</h1><p>{escape(page.below)}</p></header>"
        f"{page.body}<footer>{escape(page.footer)}</footer></main></body></html>"
    )


def section(title: str, body: str) -> str:
    """A part of the page; `body` is HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def facts_grid(facts: Iterable[tuple[str, str, str]]) -> str:
    """(name, value, remark) in a grid, the value large."""
    cells = "".join(
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(remark)}</span></div>"
        for name, value, remark in facts
    )
    return f'<div class="facts">{cells}</div>'
