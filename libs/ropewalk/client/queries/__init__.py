"""The queries that ship, over the monitor's tables, wherever these are. A new one: a file `<name>.sql` whose first line
is `-- ` and what it answers."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class NamedQuery:
    """A query and what it answers."""

    name: str
    description: str
    sql: str


def named_queries() -> list[NamedQuery]:
    """All of them, by name."""
    found = [path for path in files(__name__).iterdir() if path.name.endswith(".sql")]
    return sorted((_parsed(path.name, path.read_text()) for path in found), key=lambda query: query.name)


def _parsed(file_name: str, text: str) -> NamedQuery:
    first, _, sql = text.partition("\n")
    assert first.startswith("-- "), f"{file_name} must begin with a comment that says what it answers"
    return NamedQuery(file_name.removesuffix(".sql"), first.removeprefix("-- ").strip(), sql.strip())
