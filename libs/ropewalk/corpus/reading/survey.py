"""A bounded look at the data of a recipe: what is there, what it will give, and what will be set aside and why.

Nothing is kept. Small data is read whole, so the counts are those of the ingest stage; of more than the limits
allow, a spread of files is read and the rest is computed from it and marked as an estimate. What preprocessing drops
later (quality, duplicates) is not known here.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ropewalk.corpus.reading.looking import Found, Look
from ropewalk.corpus.reading.places import ANYWHERE, Reach
from ropewalk.corpus.reading.records import Limits
from ropewalk.recipes.recipe import SourceRecipe

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
    limits = limits or SurveyLimits()
    look = Look(records or Limits(), reach, deadline=time.monotonic() + limits.seconds)
    for source in {source.model_dump_json(): source for source in sources}.values():
        # At most half of the time goes into listing.
        look.list_files(source, limits.num_files, until=time.monotonic() + limits.seconds / 2)
    look.read_files(limits.num_bytes)
    return _summary(look)


def _summary(look: Look) -> Survey:
    """Each group grows by what was not read of it; a group that was not reached at all grows as the others do.

    Texts and records grow with the bytes, whole files that are set aside with the number of files.
    """
    groups = [group for group in look.groups.values() if group.files_read]
    reached = sum(group.num_bytes for group in groups)
    rest = sum(group.num_bytes for group in look.groups.values()) / reached if reached else 1.0

    def whole(count: Callable[[Found], float]) -> int:
        return round(rest * sum(count(group.found) * group.growth for group in groups))

    def num_flawed(reason: str) -> int:
        records = sum(group.found.record_flaws[reason] * group.growth for group in groups)
        files = sum(group.found.file_flaws[reason] * group.num_files / group.files_read for group in groups)
        return round(records + files)

    return Survey(
        kinds=tuple(
            KindOfFile(kind=kind, suffix=suffix, num_files=group.num_files, num_bytes=group.num_bytes)
            for (kind, suffix), group in sorted(look.groups.items(), key=lambda item: (-item[1].num_bytes, item[0]))
        ),
        num_documents=whole(lambda found: found.num_documents),
        num_conversations=whole(lambda found: found.num_conversations),
        text_bytes=whole(lambda found: found.text_bytes),
        set_aside=tuple(
            SetAside(reason=reason, num_records=num_flawed(reason), examples=tuple(examples))
            for reason, examples in sorted(look.examples.items())
        ),
        share_read=look.share_read,
        is_all_listed=look.is_all_listed,
    )
