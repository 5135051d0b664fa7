"""Writing a card where people look for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ropewalk.report.card import ReportCard
from ropewalk.report.html import render_html
from ropewalk.report.picture import write_picture

HTML, PNG, FACTS = "report.html", "report.png", "report.json"


@dataclass(frozen=True)
class WrittenCard:
    """Where the card lies."""

    html: Path
    png: Path


def write_card(card: ReportCard, archive: Path, folder: Path, stem: str = "report") -> WrittenCard:
    """Write page, picture and facts into `archive` (kept for good), page and picture as `stem` into `folder`.

    Raises OSError.
    """
    archive.mkdir(parents=True, exist_ok=True)
    (archive / FACTS).write_bytes(TypeAdapter(ReportCard).dump_json(card, indent=1))
    (archive / HTML).write_text(render_html(card), encoding="utf-8")
    write_picture(card, archive / PNG)
    written = WrittenCard(html=folder / f"{stem}.html", png=folder / f"{stem}.png")
    shutil.copyfile(archive / HTML, written.html)
    shutil.copyfile(archive / PNG, written.png)
    return written
