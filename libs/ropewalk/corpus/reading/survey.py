"""A bounded look at the data of a recipe: what is there, what it will give, and what will be set aside and why.

Nothing is kept. Small data is read whole, so the counts are those of the ingest stage; of more than the limits
allow, a spread of files is read and the rest is computed from it and marked as an estimate. What preprocessing drops
later (quality, duplicates) is not known here.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from ropewalk.corpus.document import content_id
from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.files import SourceFile, walk_files
from ropewalk.corpus.reading.kinds import kind_by_name
from ropewalk.corpus.reading.places import ANYWHERE, Reach
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.reading.selection import archive_suffix, holds_records, unpacked_name
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.events.foreign import one_line
from ropewalk.recipes.recipe import SourceRecipe

_NUM_EXAMPLES = 3
_NUM_KINDS = 40  # groups of files that are told apart; the rest is one group
_FILE_BYTES = 1_000_000  # of a file, at least, before another one is looked at
_BYTES_PER_BIT = 0.41  # a byte-level BPE gains about this many bytes per token with each doubling of its vocabulary ...
_BYTES_PER_TOKEN_512 = 1.9  # ... from this: English prose and code, our own tokenizer


@dataclass(frozen=True, kw_only=True)
class SurveyLimits:
    """How much a look may cost: wall seconds, bytes of content that are read, files that are listed."""

    seconds: float = 5.0
    num_bytes: int = 64_000_000
    num_files: int = 100_000


@dataclass(frozen=True, kw_only=True)
class KindOfFile:
    """Files of one kind and one suffix. `num_bytes` is their size on disk.

    The kind is `text`, `records` (one per line), or the reason why a file of its name is not read.
    """

    kind: str
    suffix: str
    num_files: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """Records that ingest will quarantine for one reason; `examples` are the first places with the detail."""

    reason: str
    num_records: int
    examples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a recipe's sources hold. `share_read` is the part of the bytes on disk that was looked at.

    Files and their bytes are exact unless `is_all_listed` is false (then there are more); documents, bytes of text and
    what is set aside are exact if `is_estimate` is false.
    """

    kinds: tuple[KindOfFile, ...]
    num_documents: int
    num_conversations: int
    text_bytes: int
    set_aside: tuple[SetAside, ...]
    share_read: float
    is_all_listed: bool

    @property
    def num_files(self) -> int:
        """All files that belong to the sources."""
        return sum(kind.num_files for kind in self.kinds)

    @property
    def num_bytes(self) -> int:
        """Their size on disk, packed as they are."""
        return sum(kind.num_bytes for kind in self.kinds)

    @property
    def is_estimate(self) -> bool:
        """Whether the counts are computed from a part."""
        return self.share_read < 1.0 or not self.is_all_listed

    def num_tokens(self, vocab_size: int) -> int:
        """An estimate, always: no tokenizer is trained here."""
        return round(self.text_bytes / bytes_per_token(vocab_size))


def bytes_per_token(vocab_size: int) -> float:
    """About how much text a token of a byte-level BPE of this size carries."""
    return max(1.0, _BYTES_PER_TOKEN_512 + _BYTES_PER_BIT * (math.log2(vocab_size) - 9))


def survey(
    sources: Iterable[SourceRecipe],
    limits: SurveyLimits | None = None,
    records: Limits | None = None,
    reach: Reach = ANYWHERE,
) -> Survey:
    """Look at the sources. A source that does not exist or may not be read is set aside like any file."""
    look = _Look(limits or SurveyLimits(), records or Limits(), reach)
    for source in {source.model_dump_json(): source for source in sources}.values():
        look.list_files(source)
    look.read_files()
    return look.result()


class _EnoughError(Exception):
    """The limits are reached; never leaves this module."""


@dataclass
class _Group:
    """Files of one kind and suffix: what is there, and what was found in the part that was read."""

    num_files: int = 0
    num_bytes: int = 0
    bytes_read: int = 0
    found: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Listed:
    file: SourceFile
    source: SourceRecipe
    num_bytes: int
    group: _Group


class _Allowance(Meter):
    """Stops the reading of one file at its share of the bytes, or when the time is over."""

    is_partial = True

    def __init__(self, num_bytes: int, deadline: float) -> None:
        self._left = num_bytes
        self._deadline = deadline
        self.num_packed = 0
        self.num_plain = 0

    def count(self, num_packed: int, num_plain: int) -> None:
        self.num_packed = num_packed
        self.num_plain += num_plain
        if self.num_plain > self._left or time.monotonic() > self._deadline:
            raise _EnoughError


class _Look:
    """One survey on its way."""

    def __init__(self, limits: SurveyLimits, records: Limits, reach: Reach) -> None:
        self._limits = limits
        self._records = records
        self._reach = reach
        self._deadline = time.monotonic() + limits.seconds
        self._groups: dict[tuple[str, str], _Group] = {}
        self._listed: list[_Listed] = []
        self._examples: dict[str, list[str]] = {}
        self._is_all_listed = True

    def list_files(self, source: SourceRecipe) -> None:
        """At most half of the time goes into listing."""
        halfway = self._deadline - self._limits.seconds / 2
        first = len(self._listed)
        for file in walk_files(source, self._reach):
            if len(self._listed) >= self._limits.num_files or time.monotonic() > halfway:
                self._is_all_listed = False
                return
            group = self._group(file, source)
            size = _size(file)
            group.num_files += 1
            group.num_bytes += size
            self._listed.append(_Listed(file, source, size, group))
        if len(self._listed) == first + 1:  # as `list_files` does
            self._listed[-1] = replace(self._listed[-1], file=replace(self._listed[-1].file, is_alone=True))

    def read_files(self) -> None:
        """In an order that spreads over folders and is the same every time."""
        left = self._limits.num_bytes
        share = max(_FILE_BYTES, left // max(1, len(self._listed)))
        for listed in sorted(self._listed, key=lambda item: content_id(item.file.path.encode("utf-8", "replace"))):
            if left <= 0 or time.monotonic() > self._deadline:
                return
            left -= self._read(listed, min(share, left) if len(self._listed) > 1 else left)

    def _read(self, listed: _Listed, num_bytes: int) -> int:
        meter = _Allowance(num_bytes, self._deadline)
        found = listed.group.found
        before = sum(found.values())
        try:
            for path, content in contents(listed.file, listed.source, self._records, self._reach, meter):
                match content:
                    case Flaw(reason, detail):
                        found[f"flaw {reason}"] += 1
                        self._keep_example(reason, f"{one_line(path)}: {one_line(detail)}")
                    case Content():
                        found["documents"] += 1
                        found["conversations"] += bool(content.messages)
                        found["bytes"] += content.num_bytes
        except _EnoughError:
            if sum(found.values()) > before:  # a part that gave no record yet says nothing about records
                listed.group.bytes_read += min(meter.num_packed, listed.num_bytes)
        else:
            listed.group.bytes_read += listed.num_bytes
        return meter.num_plain

    def result(self) -> Survey:
        """Each group grows by what was not read of it; a group that was not reached grows like all others."""
        groups = self._groups.values()
        read, there = sum(group.bytes_read for group in groups), sum(group.num_bytes for group in groups)
        share = read / there if there else 1.0
        found: Counter[str] = Counter()
        for group in groups:
            factor = group.num_bytes / group.bytes_read if group.bytes_read else 1.0
            found.update({name: round(count * factor) for name, count in group.found.items()})
        unreached = sum(group.num_bytes for group in groups if group.num_bytes and not group.bytes_read)
        if read and unreached:
            found = Counter({name: round(count * there / (there - unreached)) for name, count in found.items()})
        return Survey(
            kinds=tuple(_kinds(self._groups)),
            num_documents=found["documents"],
            num_conversations=found["conversations"],
            text_bytes=found["bytes"],
            set_aside=tuple(
                SetAside(reason=reason, num_records=found[f"flaw {reason}"], examples=tuple(examples))
                for reason, examples in sorted(self._examples.items())
            ),
            share_read=share,
            is_all_listed=self._is_all_listed,
        )

    def _keep_example(self, reason: str, text: str) -> None:
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(text)

    def _group(self, file: SourceFile, source: SourceRecipe) -> _Group:
        unread = None if source.format == "text" else kind_by_name(unpacked_name(file.path))
        kind = unread.reason if unread else "records" if holds_records(file.path, source) else "text"
        name = (kind, one_line(_suffix(file.path), 16))
        if name not in self._groups and len(self._groups) >= _NUM_KINDS:
            name = (kind, "…")
        return self._groups.setdefault(name, _Group())


def _kinds(groups: dict[tuple[str, str], _Group]) -> Iterator[KindOfFile]:
    for (kind, suffix), group in sorted(groups.items(), key=lambda item: (-item[1].num_bytes, item[0])):
        yield KindOfFile(kind=kind, suffix=suffix, num_files=group.num_files, num_bytes=group.num_bytes)


def _suffix(path: str) -> str:
    """`.py`, `.jsonl.gz`, or nothing."""
    packed = archive_suffix(path)
    return PurePosixPath(unpacked_name(path)).suffix.lower() + packed


def _size(file: SourceFile) -> int:
    """Bytes on disk; none of what is no file, is gone or may not be looked at, whose reading will say so."""
    try:
        return 0 if file.closed else file.location.stat().st_size
    except OSError:
        return 0
