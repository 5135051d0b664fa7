"""Which files of a folder belong to a source."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ropewalk.recipes.formats import TEXT, format_of
from ropewalk.recipes.recipe import SourceRecipe

_ARCHIVE_SUFFIXES = (".gz", ".zst")


@dataclass(frozen=True)
class Selection:
    """The include and exclude patterns of a source; `**` spans folders. Hidden files and folders never belong."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def takes_file(self, path: str) -> bool:
        """Whether the file at a relative path belongs."""
        return (
            not _is_hidden(path)
            and any(_glob(pattern).fullmatch(path) for pattern in self.include)
            and not any(_glob(pattern).fullmatch(path) for pattern in self.exclude)
        )

    def enters_folder(self, path: str) -> bool:
        """Whether anything below a relative folder can belong; saves walking what is excluded as a whole."""
        whole = (pattern for pattern in self.exclude if pattern.endswith("/**"))
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
