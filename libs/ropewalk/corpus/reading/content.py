"""The content of one file of a source, and what a reading that failed means for the user."""

import errno
from collections.abc import Iterator

from ropewalk.corpus.errors import CorpusError
from ropewalk.corpus.reading.places import ClosedError
from ropewalk.corpus.reading.records import Flaw, Reason
from ropewalk.corpus.reading.selection import archive_suffix
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import (
    BombError,
    DamagedError,
    EncodingError,
    Meter,
    TrailingError,
    content_chunks,
)
from ropewalk.events.foreign import one_line

FAULTS = (CorpusError, OSError)
_REASONS: dict[type[Exception], Reason] = {
    BombError: "decompression_bomb",
    DamagedError: "corrupt_archive",
    EncodingError: "not_utf8",
    TrailingError: "trailing_bytes",
}
_IN_WORDS = {
    errno.ENOENT: "it is not there (a link that leads nowhere, or it was removed)",
    errno.EACCES: "this user may not read it; change its permissions",
    errno.ELOOP: "a link that leads to itself",
    errno.ENAMETOOLONG: "its path is longer than the system allows",
}


def chunks(file: SourceFile, meter: Meter) -> Iterator[bytes]:
    """The content of a file in UTF-8. Raises one of FAULTS."""
    with file.open() as packed:
        num_packed = packed.seek(0, 2)  # of the opened file, which may not be the one that was listed
        packed.seek(0)
        meter.begin()
        yield from content_chunks(packed, archive_suffix(file.path), num_packed, meter)


def fault(error: Exception) -> Flaw:
    """What a failed read means for the user."""
    match error:
        case ClosedError():
            return Flaw(error.reason, str(error))
        case OSError():
            known = _IN_WORDS.get(error.errno or 0)
            return Flaw("unreadable", known or one_line(error.strerror or type(error).__name__))
        case _:
            return Flaw(_REASONS[type(error)], one_line(str(error)))
