"""One bounded look at the files of sources: some are read, what they gave stands for the others of their kind."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from ropewalk.corpus.document import content_id
from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.kinds import kind_by_name
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import PART_BYTES, Content, Flaw, Limits
from ropewalk.corpus.reading.selection import archive_suffix, holds_records, unpacked_name
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.sources import open_source
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.events.foreign import one_line
from ropewalk.recipes.formats import TEXT
from ropewalk.recipes.recipe import SourceRecipe

_NUM_EXAMPLES = 3
_NUM_KINDS = 40  # groups of files that are told apart; the rest is one group
_FILE_BYTES = 1_000_000  # of a file, at least, before another one is looked at
_GROWTH = 5  # an archive counts as about so much more than its size


@dataclass
class Found:
    """What reading gave. Flaws of whole files are counted apart from those of records within files."""

    num_documents: float = 0
    num_conversations: float = 0
    text_bytes: float = 0
    record_flaws: Counter[str] = field(default_factory=Counter)
    file_flaws: Counter[str] = field(default_factory=Counter)

    def take(self, content: Content | Flaw, *, is_whole_file: bool) -> None:
        """Count one record."""
        match content:
            case Flaw(reason):
                (self.file_flaws if is_whole_file else self.record_flaws)[reason] += 1
            case Content():
                self.num_documents += 1
                self.num_conversations += bool(content.messages)
                self.text_bytes += content.num_bytes

    def add(self, other: "Found") -> None:
        """Count what another file gave."""
        self.num_documents += other.num_documents
        self.num_conversations += other.num_conversations
        self.text_bytes += other.text_bytes
        self.record_flaws += other.record_flaws
        self.file_flaws += other.file_flaws

    @property
    def is_nothing(self) -> bool:
        """Whether no record was found, good or bad."""
        return not (self.num_documents or self.record_flaws or self.file_flaws)


@dataclass
class Group:
    """Files of one kind and suffix. `found` is what `files_read` of them with `bytes_known` on disk give."""

    num_files: int = 0
    num_bytes: int = 0
    files_read: int = 0
    bytes_known: int = 0
    found: Found = field(default_factory=Found)

    @property
    def growth(self) -> float:
        """By how much the bytes of the group exceed those of which it is known what they give."""
        return self.num_bytes / self.bytes_known if self.bytes_known else 1.0


@dataclass(frozen=True)
class _Listed:
    file: SourceFile
    source: SourceRecipe
    group: Group

    @property
    def weight(self) -> int:
        """About how many bytes of content it holds."""
        return self.file.num_bytes * (_GROWTH if archive_suffix(self.file.path) else 1)


class _EnoughError(Exception):
    """The limits are reached; never leaves this module."""


class _Allowance(Meter):
    """Stops the reading of one file at its share of the bytes, or when the time is over."""

    def __init__(self, num_bytes: int, deadline: float) -> None:
        self._most = num_bytes
        self._deadline = deadline
        self.num_packed = 0
        self.num_plain = 0
        self._plain_of_pass = 0

    def begin(self) -> None:
        self._plain_of_pass = 0

    def count(self, num_packed: int, num_plain: int) -> None:
        self.num_packed = num_packed
        self.num_plain += num_plain
        self._plain_of_pass += num_plain
        if self.num_plain > self._most or time.monotonic() > self._deadline:
            raise _EnoughError

    @property
    def growth(self) -> float:
        """Bytes of content per byte on disk."""
        return self._plain_of_pass / max(1, self.num_packed)


class Look:
    """One survey on its way: list, then read. What was found is in `groups` and `examples`."""

    def __init__(self, records: Limits, reach: Reach, *, deadline: float) -> None:
        self._records = records
        self._reach = reach
        self._deadline = deadline
        self._listed: list[_Listed] = []
        self.groups: dict[tuple[str, str], Group] = {}
        self.examples: dict[str, list[str]] = {}
        self.is_all_listed = True
        self._bytes_read = 0

    def list_files(self, source: SourceRecipe, most: int, *, until: float) -> None:
        """Find the files of a source, `most` of all sources together at most."""
        first = len(self._listed)
        for file in open_source(source, self._reach).files():
            if len(self._listed) >= most or time.monotonic() > min(until, self._deadline):
                self.is_all_listed = False
                return
            group = self._group(file, source)
            group.num_files += 1
            group.num_bytes += file.num_bytes
            self._listed.append(_Listed(file, source, group))
        if len(self._listed) == first + 1:  # as `list_files` does
            self._listed[-1] = replace(self._listed[-1], file=replace(self._listed[-1].file, is_alone=True))

    def read_files(self, num_bytes: int) -> None:
        """In an order that spreads over folders and is the same every time."""
        share = max(_FILE_BYTES, fair_share([listed.weight for listed in self._listed], num_bytes))
        for listed in sorted(self._listed, key=lambda item: content_id(item.file.path.encode("utf-8", "replace"))):
            if num_bytes <= 0 or time.monotonic() > self._deadline:
                return
            num_bytes -= self._read(listed, min(share, num_bytes))

    def _read(self, listed: _Listed, num_bytes: int) -> int:
        meter, found, group = _Allowance(num_bytes, self._deadline), Found(), listed.group
        read = known = listed.file.num_bytes
        try:
            for place, content in contents(listed.file, listed.source, self._records, meter):
                found.take(content, is_whole_file=place == listed.file.path)
                if isinstance(content, Flaw):
                    self._keep_example(content.reason, f"{one_line(place)}: {one_line(content.detail)}")
        except _EnoughError:
            read = known = min(meter.num_packed, listed.file.num_bytes)
            if found.is_nothing and read and not holds_records(listed.file.path, listed.source):
                # The beginning of a single text: the rest of it is as the beginning.
                known = listed.file.num_bytes
                found.text_bytes = known * meter.growth
                part_bytes = PART_BYTES if listed.file.is_alone else self._records.record_bytes
                found.num_documents = math.ceil(found.text_bytes / part_bytes)
        self._bytes_read += read
        group.files_read += 1
        group.bytes_known += known
        group.found.add(found)
        return min(meter.num_plain, num_bytes)

    @property
    def share_read(self) -> float:
        """The part of the bytes on disk that was looked at."""
        there = sum(group.num_bytes for group in self.groups.values())
        return self._bytes_read / there if there else 1.0

    def _keep_example(self, reason: str, text: str) -> None:
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(text)

    def _group(self, file: SourceFile, source: SourceRecipe) -> Group:
        unread = None if source.format == TEXT else kind_by_name(unpacked_name(file.path))
        kind = unread.reason if unread else "records" if holds_records(file.path, source) else "text"
        name = (kind, one_line(_suffix(file.path), 16))
        if name not in self.groups and len(self.groups) >= _NUM_KINDS:
            name = (kind, "…")
        return self.groups.setdefault(name, Group())


def fair_share(sizes: Sequence[int], num_bytes: int) -> int:
    """The most that may be read of one file, so that all files together take `num_bytes`: what small ones leave over
    is for the large ones."""
    left = num_bytes
    for place, size in enumerate(ordered := sorted(sizes)):
        num_left = len(ordered) - place
        if size * num_left > left:
            return left // num_left
        left -= size
    return num_bytes


def _suffix(path: str) -> str:
    """`.py`, `.jsonl.gz`, or nothing."""
    return PurePosixPath(unpacked_name(path)).suffix.lower() + archive_suffix(path)
