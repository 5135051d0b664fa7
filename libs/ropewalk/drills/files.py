"""Where scorecards lie: `reports/drills/` in the state folder, JSON and HTML side by side."""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ropewalk.drills.page import render_drill
from ropewalk.events.drill import DrillCompleted
from ropewalk.local.layout import Layout


@dataclass(frozen=True, kw_only=True)
class DrillResult:
    """The scorecard and its two files."""

    card: DrillCompleted
    html: Path
    json: Path


def drills_folder(layout: Layout) -> Path:
    """The folder of all scorecards."""
    return layout.reports / "drills"


def write_drill(card: DrillCompleted, began_at: datetime, layout: Layout) -> DrillResult:
    """Write both forms. Raises OSError."""
    folder = drills_folder(layout)
    folder.mkdir(parents=True, exist_ok=True)
    written = DrillResult(card=card, html=folder / f"{card.drill_id}.html", json=folder / f"{card.drill_id}.json")
    facts = {"began_at": began_at.isoformat(), **card_json(card)}
    written.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    written.html.write_text(render_drill(card, began_at), encoding="utf-8")
    return written


def card_json(card: DrillCompleted) -> dict[str, Any]:
    """The scorecard as plain JSON: a time that never came is null."""
    facts = card.model_dump(mode="python")
    times = {name: None if math.isnan(facts[name]) else facts[name] for name in ("detect_s", "recover_s")}
    return {**facts, **times, "checks": [dict(each) for each in facts["checks"]]}


def last_cards(layout: Layout) -> dict[str, dict[str, Any]]:
    """The newest scorecard of each drill, from its file."""
    newest: dict[str, dict[str, Any]] = {}
    for path in drills_folder(layout).glob("drill-*.json"):
        facts = json.loads(path.read_bytes())
        if facts["began_at"] > newest.get(facts["drill"], {}).get("began_at", ""):
            newest[facts["drill"]] = facts
    return newest
