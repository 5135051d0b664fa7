"""From the bytes of a file to records: one module per format, imported when a file of its format is read.

A new format is a module here with a function `read`, and a line in `ropewalk.recipes.formats`.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from ropewalk.corpus.reading.records import Content, Flaw, Limits, Record
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.recipes.recipe import SourceRecipe

LINE_FACTOR = 4  # a record with fields may be this much larger than one document, into which its text is cut


@dataclass(frozen=True)
class ReaderTask:
    """What a reader is told: the source's wishes, sizes, who counts along, and whether every field is wanted."""

    source: SourceRecipe
    limits: Limits
    meter: Meter
    all_fields: bool = False

    @property
    def record_bytes(self) -> int:
        """The most that a record may take before it becomes a document."""
        return self.limits.record_bytes * LINE_FACTOR


class RecordReader(Protocol):
    """Gives the records of a file in order, each with its place in the file (empty: the file as a whole).

    It holds one record at a time, or a few, reads no further than it is asked to, and gives a Flaw for what it cannot
    read: it raises nothing for anything that may stand in a file.
    """

    def __call__(self, file: SourceFile, task: ReaderTask) -> Iterator[tuple[str, Record | Content | Flaw]]:
        """Read a file. A `Record` still has to become a document, a `Content` is one."""
        ...


def reader_of(name: str) -> RecordReader:
    """The reader of a format. Raises ModuleNotFoundError if a library that it needs is not installed."""
    return cast(RecordReader, importlib.import_module(f"{__name__}.{name}").read)
