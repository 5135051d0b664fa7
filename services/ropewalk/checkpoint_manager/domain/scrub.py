"""Which stored folder to hash again next. Pure: facts of all runs in, one folder out."""

from dataclasses import dataclass, field, replace

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPruned,
    CheckpointQuarantined,
    ExportQuarantined,
)

SUBJECTS = ("evt.checkpoint.*.v1.*",)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A folder that must be what the log says. `looked_at` (Unix seconds) is when somebody last hashed it."""

    run_id: str
    checkpoint_id: str
    step: int
    uri: str
    sha256: str
    is_export: bool
    looked_at: float


@dataclass
class Inventory:
    """Every verified checkpoint and every export that nobody deleted or set aside, by its key."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def add(self, message: Message, stored_at: float) -> None:
        """Take one message into account, in the order of the log. `stored_at` in Unix seconds."""
        match message:
            case CheckpointCommitted() | CheckpointExported():
                self.kept[message.uri] = Kept(
                    run_id=message.run_id,
                    checkpoint_id=message.checkpoint_id,
                    step=message.step,
                    uri=message.uri,
                    sha256=message.manifest_sha256,
                    is_export=isinstance(message, CheckpointExported),
                    looked_at=stored_at,
                )
            case CheckpointPruned() | CheckpointQuarantined():
                self._drop(message.checkpoint_id, is_export=False)
            case ExportQuarantined():
                self._drop(message.checkpoint_id, is_export=True)

    def due(self, now: float, every_s: float) -> Kept | None:
        """The one that was looked at longest ago, if that is long enough ago."""
        oldest = min(self.kept.values(), key=lambda each: each.looked_at, default=None)
        return oldest if oldest is not None and now - oldest.looked_at >= every_s else None

    def looked(self, kept: Kept, now: float) -> None:
        """It was hashed and is what it should be."""
        if kept.uri in self.kept:
            self.kept[kept.uri] = replace(kept, looked_at=now)

    def _drop(self, checkpoint_id: str, *, is_export: bool) -> None:
        gone = [
            uri
            for uri, each in self.kept.items()
            if each.checkpoint_id == checkpoint_id and each.is_export == is_export
        ]
        for uri in gone:
            del self.kept[uri]
