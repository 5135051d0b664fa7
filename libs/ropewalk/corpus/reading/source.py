"""Where files come from: the port of a source, and a file as it gives it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from ropewalk.corpus.reading.places import ClosedError


class Source(Protocol):
    """A place with files. What may be read of it is its own affair: it is asked again when a file is opened."""

    def fault(self) -> str | None:
        """Why the place as a whole cannot be read, in words that end in a remedy, or None."""
        ...

    def files(self) -> Iterator["SourceFile"]:
        """Everything that belongs to the source, as it is found; also what cannot be read, with the reason."""
        ...

    def open(self, place: str) -> IO[bytes]:
        """A file at its beginning; it can be searched. Raises ClosedError or OSError."""
        ...


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `path` is relative to the source, with `/`, on one line and fit for UTF-8.

    `place` is what its source opens it by, `num_bytes` its size there, packed as it is; 0: it is gone or no file.
    `closed` says why it is not read at all. A file that `is_alone` in its source is cut into parts, if it is a text:
    some to learn from, some to be judged by.
    """

    path: str
    place: str
    source: Source
    num_bytes: int = 0
    closed: ClosedError | OSError | None = None
    is_alone: bool = False

    def open(self) -> IO[bytes]:
        """See `Source.open`. Raises ClosedError or OSError."""
        if self.closed is not None:
            raise self.closed
        return self.source.open(self.place)
