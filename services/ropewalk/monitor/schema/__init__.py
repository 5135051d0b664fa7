"""The tables: numbered migrations `0001_<name>.sql`, …, each applied once, and views, made anew at every start.

A file holds statements that end in `;` at the end of a line. Every statement may be repeated. What was released is
never edited: a table grows by the next number.
"""

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Migration:
    """One step of the tables' history. `version` counts from 1 without a gap."""

    version: int
    name: str
    statements: list[str]


def migrations() -> list[Migration]:
    """All of them, oldest first."""
    texts = _texts(files(__name__))
    return [Migration(int(name[:4]), name[5:], _statements(texts[name])) for name in texts if name[:4].isdigit()]


def bookkeeping() -> list[str]:
    """The statements that make the database, and the table in which it is kept what was applied."""
    return _statements(_texts(files(__name__))["version"])


def view_statements() -> list[str]:
    """The statements that make the views."""
    return [statement for text in _texts(files(__name__) / "views").values() for statement in _statements(text)]


def _texts(folder: Traversable) -> dict[str, str]:
    found = {path.name.removesuffix(".sql"): path for path in folder.iterdir() if path.name.endswith(".sql")}
    return {name: found[name].read_text() for name in sorted(found)}


def _statements(text: str) -> list[str]:
    return [statement for part in (text.strip() + "\n").split(";\n") if (statement := part.strip())]
