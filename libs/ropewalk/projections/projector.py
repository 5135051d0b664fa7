"""Runs every projection over the log. Pure: stored messages in, records and canonical bytes out.

A message counts once, whether it comes again under its sequence or was published again under its id: of equal ids
the first one that is applied counts, and as they share a subject, that is the first in the log. Ids are remembered
as 64 bits of their hash; by the birthday bound two of ten million differ with probability 0.999997.
"""

import array
import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Self

import orjson

from ropewalk.bus.codec import Stored
from ropewalk.errors import RopewalkError
from ropewalk.events.base import Message
from ropewalk.projections.alarms import ALARMS
from ropewalk.projections.costs import COSTS
from ropewalk.projections.fold import Fold, Json, Record, Step
from ropewalk.projections.judges import JUDGES
from ropewalk.projections.ledger import LEDGER
from ropewalk.projections.lineage import LINEAGE
from ropewalk.projections.registry import REGISTRY
from ropewalk.projections.runs import RUNS
from ropewalk.projections.task_sets import TASK_SETS

FOLDS: dict[str, Fold] = {
    fold.name: fold for fold in (RUNS, REGISTRY, LINEAGE, COSTS, LEDGER, ALARMS, TASK_SETS, JUDGES)
}
_FORMAT = 1  # of a snapshot, beside the versions of its folds


class SnapshotError(RopewalkError, ValueError):
    """A snapshot was written by another version, or is none."""


class Projector:
    """Records of all projections, or of the named ones, as of a sequence of the log."""

    def __init__(self, names: Iterable[str] = tuple(FOLDS)) -> None:
        self.names = tuple(names)
        self.sequence = 0
        self.time = ""
        self.num_applied = 0
        self._seen: set[int] = set()
        self._records: dict[str, dict[str, Record]] = {name: {} for name in self.names}  # by projection and key
        self._rendered: dict[str, dict[str, bytes]] = {name: {} for name in self.names}
        self._steps: dict[type[Message], list[tuple[Fold, Step]]] = {}
        for name in self.names:
            for kind, step in FOLDS[name].steps.items():
                self._steps.setdefault(kind, []).append((FOLDS[name], step))

    @property
    def kinds(self) -> frozenset[type[Message]]:
        """The message types that change anything; others need not be decoded."""
        return frozenset(self._steps)

    def apply(self, stored: Stored[Message]) -> None:
        """Fold one message in."""
        steps = self._steps.get(type(stored.message))
        if steps is None:
            return
        mark = _mark(stored.envelope.id)
        if mark in self._seen:
            return
        self._seen.add(mark)
        self.num_applied += 1
        for fold, step in steps:
            key = fold.key_of(stored.message)
            step(self._records[fold.name].setdefault(key, {}), stored)
            self._rendered[fold.name].pop(key, None)

    @property
    def place(self) -> dict[str, Any]:
        """Where in the log the projector stands, as its answers say it."""
        return {"sequence": self.sequence, "time": self.time}

    def stand_at(self, sequence: int, time: str) -> None:
        """Everything up to this sequence has been seen; `time` is when that message was stored."""
        if sequence > self.sequence:
            self.sequence, self.time = sequence, time

    def keys(self, name: str) -> list[str]:
        """The keys of a projection, sorted."""
        return sorted(self._records[name])

    def first_sequences(self) -> dict[str, int]:
        """Where each run appeared in the log, by run id."""
        return {run_id: record["first"][0] for run_id, record in self._records["runs"].items()}

    def view(self, name: str, key: str) -> Json:
        """One item of a projection. Raises KeyError."""
        return FOLDS[name].view(key, self._records[name][key])

    def item(self, name: str, key: str) -> bytes:
        """One item as canonical JSON. Rendered once, until a message changes it. Raises KeyError."""
        rendered = self._rendered[name]
        if key not in rendered:
            rendered[key] = canonical(FOLDS[name].view(key, self._records[name][key]))
        return rendered[key]

    def render(self, name: str) -> bytes:
        """A whole projection as canonical JSON: one object, a line per key."""
        lines = (orjson.dumps(key) + b":" + self.item(name, key) for key in self.keys(name))
        return b"{\n" + b",\n".join(lines) + b"\n}\n"

    def digest(self, name: str) -> str:
        """The SHA-256 of `render`."""
        return hashlib.sha256(self.render(name)).hexdigest()

    def save(self) -> bytes:
        """Everything needed to continue from here."""
        seen = array.array("Q", sorted(self._seen))
        state = {
            "versions": _versions(self.names),
            **self.place,
            "seen": base64.b64encode(seen.tobytes()).decode(),
            "records": self._records,
        }
        return canonical(state)

    @classmethod
    def restore(cls, snapshot: bytes, names: Iterable[str] = tuple(FOLDS)) -> Self:
        """Continue from what `save` returned. Raises SnapshotError."""
        projector = cls(names)
        try:
            state = orjson.loads(snapshot)
            if state["versions"] != _versions(projector.names):
                raise SnapshotError("the snapshot was written by another version of the projections")
            seen = array.array("Q")
            seen.frombytes(base64.b64decode(state["seen"]))
            projector.sequence, projector.time = int(state["sequence"]), str(state["time"])
            projector._records = {name: dict(state["records"][name]) for name in projector.names}
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SnapshotError(f"the snapshot cannot be read: {error!r}") from None
        projector._seen = set(seen)
        return projector


def canonical(value: Json) -> bytes:
    """JSON with sorted keys and no spaces: equal values have equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _mark(event_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "little")


def _versions(names: Iterable[str]) -> dict[str, int]:
    return {"format": _FORMAT, **{name: FOLDS[name].version for name in names}}
