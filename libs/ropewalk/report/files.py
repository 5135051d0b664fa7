"""Writing a card where people look for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ropewalk.report.card import ReportCard
from ropewalk.report.html import render_html
from ropewalk.report.picture import write_picture

HTML, PNG = "report.html", "report.png"


@dataclass(frozen=True)
class WrittenCard:
    """Where the card lies."""

    html: Path
    png: Path


def write_card(card: ReportCard, archive: Path, folder: Path) -> WrittenCard:
    """Write both forms into `archive` (kept for good) and a copy into `folder`. Raises OSError."""
    archive.mkdir(parents=True, exist_ok=True)
    (archive / HTML).write_text(render_html(card), encoding="utf-8")
    write_picture(card, archive / PNG)
    for name in (HTML, PNG):
        shutil.copyfile(archive / name, folder / name)
    return WrittenCard(html=folder / HTML, png=folder / PNG)
