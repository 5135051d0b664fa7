"""Which checkpoint to resume from: the newest whole one in the object store. Nobody else's registry is asked.

A worker can die between a checkpoint and its report, and a service between a checkpoint and its event. The store,
verified, is the truth: every file has the hash of its manifest, the manifest is one that the log announced (or none
was announced yet), and it speaks of this place.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ropewalk.corpus.ledger import LEDGER, LedgerError, read_ledger
from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.events.training import StepMetrics
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, read_manifest, verify, verify_file
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore
from ropewalk.trainer.adapters.worker.job import CheckpointWritten
from ropewalk.trainer.adapters.worker.progress import METRICS, read_rows
from ropewalk.trainer.adapters.worker.written import written
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace, place_of

OnBroken = Callable[[CheckpointQuarantined], None]


@dataclass(frozen=True)
class WholeCheckpoint:
    """A checkpoint whose every file has the hash that its manifest promises."""

    place: CheckpointPlace
    manifest: Manifest


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
        self._announced = announced
        self._inherited = frozenset(place for place in self._places() if place.epoch < epoch)

    def newest_whole(self, on_broken: OnBroken) -> WholeCheckpoint | None:
        """The newest checkpoint that verifies. Broken ones on the way are moved to quarantine."""
        for place in sorted(self._places(), key=lambda place: place.progress, reverse=True):
            if place not in self._inherited and place.epoch != self._epoch:
                continue
            try:
                manifest = verify(self._objects.fetch(place.key))
                self._check_origin(place, manifest)
                return WholeCheckpoint(place, manifest)
            except ObjectNotFoundError:
                continue  # pruned or quarantined since it was listed
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
        return None

    def ancestry(self, newest: WholeCheckpoint, on_broken: OnBroken) -> list[CheckpointWritten]:
        """The checkpoint and its ancestors that still exist, oldest first, with the events that announce them.

        A damaged ancestor is moved to quarantine: the run does not need it, and its ledger can be proved by the hash
        that the log has.
        """
        found: list[CheckpointWritten] = []
        place: CheckpointPlace | None = newest.place
        while place is not None:
            try:
                folder = self._objects.fetch(place.key)
                parent = self._parent(place, folder)
            except ObjectNotFoundError:
                break
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
                break
            try:
                found.append(self._found(place, folder))
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
            place = parent
        return found[::-1]

    def _parent(self, place: CheckpointPlace, folder: Path) -> CheckpointPlace | None:
        """The checkpoint that this one continued, if it is of an earlier step. Raises ManifestError."""
        parent_id = str(read_manifest(folder).meta.get("parent_id") or "")
        parent = place_of(f"{self._prefix}{parent_id.removeprefix(f'{self._run_id}-')}")
        return parent if parent is not None and parent.step < place.step else None

    def _found(self, place: CheckpointPlace, folder: Path) -> CheckpointWritten:
        """The events of a checkpoint whose ledger is whole. Raises ManifestError."""
        manifest = read_manifest(folder)
        self._check_origin(place, manifest)
        try:
            verify_file(folder, manifest, LEDGER)
            found = written(place, manifest, read_ledger(folder))
        except LedgerError as error:
            raise ManifestError(LEDGER, str(error)) from None
        return replace(found, rows=_rows(folder, manifest))

    def _check_origin(self, place: CheckpointPlace, manifest: Manifest) -> None:
        """A folder that agrees with itself may still be another one's. Raises ManifestError."""
        announced = {sha256 for name, sha256 in self._announced if name == place.checkpoint_id}
        if announced and manifest.sha256 not in announced:
            raise ManifestError(MANIFEST, "is not the one that the log announced")
        expected = {"checkpoint_id": place.checkpoint_id, **asdict(place)}
        for name, value in expected.items():
            if manifest.meta.get(name) != value:
                raise ManifestError(MANIFEST, f"belongs to another place: its {name} is {manifest.meta.get(name)!r}")

    def _set_aside(self, place: CheckpointPlace, error: ManifestError, on_broken: OnBroken) -> None:
        target = f"quarantine/checkpoints/{place.checkpoint_id}"
        try:
            self._objects.move(place.key, target)
        except ObjectNotFoundError:
            return  # somebody else set it aside
        on_broken(
            CheckpointQuarantined(
                run_id=place.run_id,
                checkpoint_id=place.checkpoint_id,
                step=place.step,
                uri=target,
                file=error.file,
                reason=error.reason,
            )
        )

    @property
    def _prefix(self) -> str:
        return f"runs/{self._run_id}/checkpoints/"

    def _places(self) -> list[CheckpointPlace]:
        """Whatever else lies there is not ours."""
        return [place for key in self._objects.list(self._prefix) if (place := place_of(key)) is not None]


def _rows(folder: Path, manifest: Manifest) -> tuple[StepMetrics, ...]:
    """The metrics of a checkpoint's steps. Raises ManifestError."""
    if METRICS not in manifest.files:
        return ()
    verify_file(folder, manifest, METRICS)
    try:
        return read_rows(folder)
    except ValidationError:
        raise ManifestError(METRICS, "holds no metrics of steps") from None
