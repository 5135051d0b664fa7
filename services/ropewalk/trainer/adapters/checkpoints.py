"""Which checkpoint to resume from: the newest whole one in the object store. Nobody else's registry is asked.

Ray Train registers a checkpoint only when its controller polls, so after a kill its registry can lie behind by one;
and a service can die between a checkpoint and its event. The store, verified, is the truth: every file has the hash
of its manifest, the manifest is one that the log announced (or none was announced yet), and it speaks of this place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ropewalk.corpus.ledger import LEDGER, LedgerError, read_ledger
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.training import StepsCommitted
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, read_manifest, verify, verify_file
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore
from ropewalk.trainer.adapters.reports import CheckpointBroken, CheckpointFound

_PLACE = re.compile(r"(\d{1,12})-(\d{1,12})")  # `<epoch>-<step>`; whatever else lies there is not ours
OnBroken = Callable[[CheckpointBroken], None]


@dataclass(frozen=True)
class WholeCheckpoint:
    """A checkpoint whose every file has the hash that its manifest promises."""

    key: str
    folder: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """The next step to take."""
        return _number(self.manifest.meta["step"])


class RunCheckpoints:
    """The checkpoints of a run as one holder of its lease sees them.

    Those of lower epochs are listed once: what a fenced-off holder still writes later is not ours to resume from.
    """

    def __init__(
        self, objects: ObjectStore, run_id: str, epoch: int, announced: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self._objects = objects
        self._run_id = run_id
        self._epoch = epoch
        self._announced: dict[str, set[str]] = {}
        for checkpoint_id, manifest_sha256 in announced:
            self._announced.setdefault(checkpoint_id, set()).add(manifest_sha256)
        self._inherited = frozenset(key for key in self._keys() if _place(key)[1] < epoch)

    def newest_whole(self, on_broken: OnBroken) -> WholeCheckpoint | None:
        """The newest checkpoint that verifies. Broken ones on the way are moved to quarantine."""
        for key in sorted(self._keys(), key=_place, reverse=True):
            if key not in self._inherited and _place(key)[1] != self._epoch:
                continue
            try:
                folder = self._objects.fetch(key)
                manifest = verify(folder)
                self._check_origin(key, manifest)
                return WholeCheckpoint(key, folder, manifest)
            except ObjectNotFoundError:
                continue  # pruned or quarantined since it was listed
            except ManifestError as error:
                self._set_aside(key, error, on_broken)
        return None

    def ancestry(self, newest: WholeCheckpoint, on_broken: OnBroken) -> list[CheckpointFound]:
        """The checkpoint and its ancestors that still exist, oldest first, with the events that announce them.

        A damaged ancestor is moved to quarantine: the run does not need it, and its ledger can be proved by the hash
        that the log has.
        """
        found: list[CheckpointFound] = []
        key: str | None = newest.key
        while key is not None:
            try:
                folder = self._objects.fetch(key)
                parent = self._parent(key, folder)
            except ObjectNotFoundError:
                break
            except ManifestError as error:
                self._set_aside(key, error, on_broken)
                break
            try:
                found.append(self._found(key, folder))
            except ManifestError as error:
                self._set_aside(key, error, on_broken)
            key = parent
        return found[::-1]

    def _parent(self, key: str, folder: Path) -> str | None:
        """The key of the checkpoint that this one continued, if it is of an earlier step. Raises ManifestError."""
        parent_id = str(read_manifest(folder).meta.get("parent_id") or "")
        parent = f"{self._prefix}{parent_id.removeprefix(f'{self._run_id}-')}"
        is_ours = _PLACE.fullmatch(parent.removeprefix(self._prefix))
        return parent if is_ours and _place(parent)[0] < _place(key)[0] else None

    def _found(self, key: str, folder: Path) -> CheckpointFound:
        """The events of a checkpoint whose ledger is whole. Raises ManifestError."""
        manifest = read_manifest(folder)
        self._check_origin(key, manifest)
        try:
            verify_file(folder, manifest, LEDGER)
            return _found(self._run_id, key, folder, manifest)
        except LedgerError as error:
            raise ManifestError(LEDGER, str(error)) from None

    def _check_origin(self, key: str, manifest: Manifest) -> None:
        """A folder that agrees with itself may still be another one's. Raises ManifestError."""
        step, epoch = _place(key)
        checkpoint_id = f"{self._run_id}-{epoch}-{step}"
        announced = self._announced.get(checkpoint_id)
        if announced and manifest.sha256 not in announced:
            raise ManifestError(MANIFEST, "is not the one that the log announced")
        expected = {"checkpoint_id": checkpoint_id, "step": step, "epoch": epoch, "run_id": self._run_id}
        for name, value in expected.items():
            if manifest.meta.get(name) != value:
                raise ManifestError(MANIFEST, f"belongs to another place: its {name} is {manifest.meta.get(name)!r}")

    def _set_aside(self, key: str, error: ManifestError, on_broken: OnBroken) -> None:
        step, epoch = _place(key)
        checkpoint_id = f"{self._run_id}-{epoch}-{step}"
        target = f"quarantine/checkpoints/{checkpoint_id}"
        try:
            self._objects.move(key, target)
        except ObjectNotFoundError:
            return  # somebody else set it aside
        on_broken(
            CheckpointBroken(checkpoint_id=checkpoint_id, step=step, uri=target, file=error.file, reason=error.reason)
        )

    @property
    def _prefix(self) -> str:
        return f"runs/{self._run_id}/checkpoints/"

    def _keys(self) -> list[str]:
        return [key for key in self._objects.list(self._prefix) if _PLACE.fullmatch(key.removeprefix(self._prefix))]


def _place(key: str) -> tuple[int, int]:
    """Step and epoch of `…/<epoch>-<step>`: further along is better, then the younger epoch."""
    epoch, _, step = key.rpartition("/")[2].partition("-")
    return int(step), int(epoch)


def _found(run_id: str, key: str, folder: Path, manifest: Manifest) -> CheckpointFound:
    step, epoch = _place(key)
    checkpoint_id = f"{run_id}-{epoch}-{step}"
    rows = read_ledger(folder)
    saved = CheckpointSaved(
        run_id=run_id,
        checkpoint_id=checkpoint_id,
        epoch=epoch,
        step=step,
        uri=key,
        manifest_sha256=manifest.sha256,
        num_bytes=manifest.num_bytes,
        blocked_s=0.0,
    )
    if not rows:
        return CheckpointFound(saved, None)
    committed = StepsCommitted(
        run_id=run_id,
        epoch=epoch,
        first_step=rows[0].step,
        last_step=rows[-1].step,
        num_samples=sum(len(row.samples) for row in rows),
        sha256=manifest.files[LEDGER][0],
        uri=f"{key}/{LEDGER}",
        checkpoint_id=checkpoint_id,
    )
    return CheckpointFound(saved, committed)


def _number(value: JsonValue) -> int:
    assert isinstance(value, int), f"a step is {value!r}"
    return value
