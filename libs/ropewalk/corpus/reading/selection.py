"""Which files of a folder belong to a source."""

import re
from functools import lru_cache

from ropewalk.recipes.formats import TEXT, format_of
from ropewalk.recipes.recipe import SourceRecipe

_ARCHIVE_SUFFIXES = (".gz", ".zst")


def takes_file(source: SourceRecipe, path: str) -> bool:
    """Whether the file at a relative path belongs to a source. `**` spans folders; hidden files never belong."""
    return (
        not _is_hidden(path)
        and any(_glob(pattern).fullmatch(path) for pattern in source.include)
        and not any(_glob(pattern).fullmatch(path) for pattern in source.exclude)
    )


def enters_folder(source: SourceRecipe, path: str) -> bool:
    """Whether anything below a relative folder can belong; saves walking what is hidden or excluded as a whole."""
    whole = (pattern for pattern in source.exclude if pattern.endswith("/**"))
    return not _is_hidden(path) and not any(_glob(pattern).fullmatch(path + "/") for pattern in whole)


def archive_suffix(path: str) -> str:
    """`.gz`, `.zst` or nothing, however it is written."""
    return next((suffix for suffix in _ARCHIVE_SUFFIXES if path.lower().endswith(suffix)), "")


def unpacked_name(path: str) -> str:
    """The path without the suffix of its compression."""
    return path[: len(path) - len(archive_suffix(path))]


def holds_records(path: str, source: SourceRecipe) -> bool:
    """Whether a file has many documents instead of being one."""
    return format_of(unpacked_name(path), source.format) != TEXT


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob as an expression: `*` and `?` stay within a folder, `**/` is any number of folders, also none."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)
