"""Draw docs/images/house.svg: the rooms as the import rules of pyproject.toml stack them, and the chain of services.

Everything in the picture is read from the code: the layers from the contract, what a room is for from the first
sentence of its docstring, and every fact on an arrow is looked up in the table of message types.
"""

import ast
import textwrap
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ropewalk.events.registry import MESSAGE_TYPES

ROOT = Path(__file__).parents[1]
# The way of one run: who hands over to whom, and by which fact. `monitor` follows everything.
CHAIN = (
    ("ingest", "CorpusIngested"),
    ("preprocessing", "DatasetPublished"),
    ("trainer", "TrainingCompleted"),
    ("checkpoint-manager", "CheckpointExported"),
    ("evaluator", "GateDecided"),
    ("serving", "RequestLogBatch"),
    ("monitor", ""),
)
WIDTH, MARGIN, GAP, LINE = 1040, 24, 8, 16  # pixels
BOX_W, BOX_H = 132, 44
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1d2530 }
  .name { font-weight: 600 } .tight { font-size: 11px; font-weight: 600 }
  .small { font-size: 11px; fill: #5a6675 } .title { font-size: 15px; font-weight: 600 }
  rect { fill: #f3f6fa; stroke: #b9c4d2 } .service { fill: #e3effb; stroke: #7aa7d6 }
  .bus { fill: #fdf1dc; stroke: #d9a441 }
  path { stroke: #5a6675; fill: none; marker-end: url(#tip) } #tip path { fill: #5a6675; marker-end: none }
  .ground { fill: #ffffff; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6ebf2 } .small { fill: #9fabba } rect { fill: #1f2733; stroke: #465364 }
    .service { fill: #17324d; stroke: #4d82b8 } .bus { fill: #40331a; stroke: #b98a32 }
    path { stroke: #9fabba } #tip path { fill: #9fabba } .ground { fill: #12171f }
  }
"""


def picture() -> str:
    """The whole SVG."""
    chain, top = list(_chain(MARGIN)), MARGIN + 172
    rooms, height = _rooms(top)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            ' role="img" aria-label="The services in the order of a run, and the rooms below them">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 Z"/></marker></defs>',
            f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
            *chain,
            *rooms,
            "</svg>\n",
        ]
    )


def _chain(top: int) -> Iterator[str]:
    """The seven services on the bus, with the fact by which each hands the run on."""
    known = {kind.__name__ for kind in MESSAGE_TYPES}
    step = (WIDTH - 2 * MARGIN - BOX_W) / (len(CHAIN) - 1)
    yield _text(MARGIN, top + 6, "One run: each service reacts to a fact and states the next", "title")
    yield f'<rect class="bus" x="{MARGIN}" y="{top + 98}" width="{WIDTH - 2 * MARGIN}" height="28" rx="6"/>'
    yield _text(
        MARGIN + 10,
        top + 116,
        "NATS JetStream: the log of events. Run states, lineage, costs and the report follow from it.",
    )
    for index, (service, fact) in enumerate(CHAIN):
        x = MARGIN + index * step
        yield f'<rect class="service" x="{x:.0f}" y="{top + 22}" width="{BOX_W}" height="{BOX_H}" rx="6"/>'
        yield _text(x + BOX_W / 2, top + 48, service, "name", anchor="middle", within=BOX_W - 12)
        yield f'<path d="M{x + BOX_W / 2 - 12:.0f},{top + 97} V{top + 69}"/>'
        if fact:
            assert fact in known, fact
            yield f'<path d="M{x + BOX_W / 2 + 12:.0f},{top + 67} V{top + 95}"/>'
            yield _text(x + BOX_W / 2 + 18, top + 86, fact, "small", within=step - 36)


def _rooms(top: int) -> tuple[list[str], int]:
    """One row per layer, the highest first, and where the picture ends."""
    drawn = [_text(MARGIN, top - 10, "The house: a room stands only on the rooms below it", "title")]
    for layer in _layers():
        width = (WIDTH - 2 * MARGIN - GAP * (len(layer) - 1)) / len(layer)
        texts = {
            room: textwrap.wrap(_purpose(room), int((width - 20) / 6.4)) if len(layer) < 7 else [] for room in layer
        }
        height = 22 + LINE * max(map(len, texts.values()))
        for index, room in enumerate(layer):
            x, kind = MARGIN + index * (width + GAP), "service" if len(layer) >= 7 else "room"
            drawn.append(f'<rect class="{kind}" x="{x:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6"/>')
            name = room.replace("_", "-")
            drawn.append(_text(x + 10, top + 16, name, "tight" if kind == "service" else "name", within=width - 20))
            drawn += [_text(x + 10, top + 16 + LINE * (n + 1), text, "small") for n, text in enumerate(texts[room])]
        top += height + GAP
    return drawn, top + MARGIN - GAP


def _layers() -> list[list[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def _purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    folder, module = ROOT / "libs" / "ropewalk" / room, ROOT / "libs" / "ropewalk" / f"{room}.py"
    path = module if module.exists() else folder / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start", within: float = 0.0) -> str:
    """One line of text, squeezed to `within` pixels where a wide font would run over."""
    squeezed = (
        f' textLength="{within:.0f}" lengthAdjust="spacingAndGlyphs"' if within and 7.2 * len(text) > within else ""
    )
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}" text-anchor="{anchor}"{squeezed}>{escape(text)}</text>'
