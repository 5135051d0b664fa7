"""Building projections from the log, from its beginning or from where a projector stands."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ropewalk.bus.bulk import UnparsedMessage, decoded_if, read_raw, stream_ends
from ropewalk.bus.wire import Wire
from ropewalk.projections.projector import Projector

LOG = "AUDIT"  # the mirror of CONTROL, which keeps what is older


@dataclass(frozen=True, kw_only=True)
class Until:
    """Where a replay ends: after a sequence, after a moment of the log's time, after some messages, or with the log."""

    sequence: int | None = None
    moment: datetime | None = None
    num_messages: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a replay read."""

    num_read: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """Messages read, whether they changed anything or not."""
        return self.num_read / self.seconds if self.seconds else 0.0


def advance(
    projector: Projector, wire: Wire, until: Until = Until(), look: Callable[[UnparsedMessage], None] | None = None
) -> Progress:
    """Fold in what the log has beyond the projector's sequence. `look` sees every message before it is decoded."""
    began = time.perf_counter()
    kinds = projector.kinds
    moment = until.moment
    raw: UnparsedMessage | None = None
    num_read = 0
    for raw in read_raw(wire, LOG, projector.sequence + 1, last=until.sequence, limit=until.num_messages):
        if moment is not None and datetime.fromisoformat(raw.time) > moment:
            break
        num_read += 1
        if look is not None:
            look(raw)
        stored = decoded_if(raw, kinds)
        if stored is not None:
            projector.apply(stored)
        projector.stand_at(raw.sequence, raw.time)
    return Progress(num_read=num_read, seconds=time.perf_counter() - began)


def rebuild(
    wire: Wire, until: Until = Until(), look: Callable[[UnparsedMessage], None] | None = None
) -> tuple[Projector, Progress]:
    """Every projection from nothing."""
    projector = Projector()
    # Records have no cycles, and the collector would look at all of them again and again: a fifth of the time.
    gc.disable()
    try:
        return projector, advance(projector, wire, until, look)
    finally:
        gc.enable()


def fits(projector: Projector, wire: Wire) -> bool:
    """Whether the log is the one that the projector has read: the message it stands at is there, or has aged out."""
    if not projector.sequence:
        return True
    ends = stream_ends(wire, LOG)
    if projector.sequence < ends.first:
        return True
    at = next(read_raw(wire, LOG, projector.sequence, last=projector.sequence), None)
    return at is not None and at.time == projector.time
