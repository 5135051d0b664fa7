"""The tables, one statement per file, applied in the order of their names. Every statement may be repeated."""

from importlib.resources import files


def statements() -> list[str]:
    """The SQL of every file, in order."""
    found = sorted((path for path in files(__name__).iterdir() if path.name.endswith(".sql")), key=lambda p: p.name)
    return [path.read_text() for path in found]
