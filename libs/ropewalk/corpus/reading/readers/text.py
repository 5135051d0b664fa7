"""A file that is one text. A text beyond the limit of a record is cut, where a paragraph ends if it can be."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from ropewalk.corpus.reading.content import FAULTS, chunks, fault
from ropewalk.corpus.reading.kinds import kind_by_beginning
from ropewalk.corpus.reading.readers import ReaderTask
from ropewalk.corpus.reading.records import Content, Flaw, cut_point, parse_text, split_text
from ropewalk.corpus.reading.selection import unpacked_name
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.recipes.formats import TEXT


def read(file: SourceFile, task: ReaderTask) -> Iterator[tuple[str, Content | Flaw]]:
    """See RecordReader. A source that is a single text is cut into parts."""
    parts = count(1)
    is_taken_as_text = task.source.format == TEXT
    for place, found in _texts(file, task.limits.record_bytes, task.meter, is_taken_as_text=is_taken_as_text):
        if file.is_alone and isinstance(found, Content):
            yield from ((str(next(parts)), part) for part in split_text(found))
        else:
            yield (str(place) if place else ""), found


def _texts(
    file: SourceFile, max_bytes: int, meter: Meter, *, is_taken_as_text: bool
) -> Iterator[tuple[int, Content | Flaw]]:
    """One content with the place 0, or parts of at most `max_bytes` with places from 1, or the flaw of the whole.

    A file has one fate: a large one is read through before its first part is handed out, so that one which is
    damaged at its end is set aside as a whole. What stands behind a whole archive is a flaw of its own.
    """
    try:
        raw, trailing = _beginning(file, max_bytes, meter)
    except FAULTS as error:
        yield 0, fault(error)
        return
    kind = None if is_taken_as_text else kind_by_beginning(raw, unpacked_name(file.path))
    if kind is not None:
        yield 0, kind.flaw(len(raw))
        return
    if len(raw) <= max_bytes:
        yield 0, parse_text(raw)
        yield from ((0, flaw) for flaw in trailing)
        return
    identity = _identity(file, meter)
    if isinstance(identity, Flaw):
        yield 0, identity
        return
    for place, part in enumerate(_parts(file, max_bytes, meter), 1):
        yield place, replace(part, split_key=identity) if isinstance(part, Content) else part


def _beginning(file: SourceFile, max_bytes: int, meter: Meter) -> tuple[bytes, list[Flaw]]:
    """All of a file up to `max_bytes`, and a little more if there is more."""
    raw = bytearray()
    try:
        for chunk in chunks(file, meter):
            raw += chunk
            if len(raw) > max_bytes:
                break
    except FAULTS as error:
        if (flaw := fault(error)).reason != "trailing_bytes":
            raise
        return bytes(raw), [flaw]
    return bytes(raw), []


def _identity(file: SourceFile, meter: Meter) -> str | Flaw:
    """The hash of a text that is too large to be held, or what is wrong anywhere in it."""
    decoder, digest = codecs.getincrementaldecoder("utf-8-sig")(), hashlib.sha256()
    size = 0
    try:
        for chunk in chunks(file, meter):
            if b"\0" in chunk:
                return Flaw("binary", f"a NUL byte at offset {size + chunk.index(0)}", size)
            decoder.decode(chunk)
            digest.update(chunk)
            size += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return Flaw("not_utf8", f"{error.reason} behind offset {size}", size)
    except FAULTS as error:
        if (flaw := fault(error)).reason != "trailing_bytes":
            return flaw
    return digest.hexdigest()


def _parts(file: SourceFile, max_bytes: int, meter: Meter) -> Iterator[Content | Flaw]:
    held = bytearray()
    ending: Flaw | None = None
    try:
        for chunk in chunks(file, meter):
            held += chunk
            while len(held) > max_bytes:
                cut = cut_point(held, max_bytes)
                yield parse_text(bytes(held[:cut]))
                del held[:cut]
    except FAULTS as error:
        ending = fault(error)
    if held:
        yield parse_text(bytes(held))
    if ending is not None:
        yield ending
