"""Which checkpoint to resume from: the newest whole one in the object store. Nobody else's registry is asked.

A worker can die between a checkpoint and its report, and a service between a checkpoint and its event. So the store is
asked, but the log is the authority:

- where it announced a checkpoint, only the manifest of that hash counts, and one that is not there is missed aloud;
- where it announced none, a checkpoint counts that is whole, speaks of its place, and continues one that counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from ropewalk.corpus.ledger import LEDGER, LedgerError, read_ledger
from ropewalk.events.checkpoint import CheckpointQuarantined, CheckpointSaved
from ropewalk.events.foreign import cut, one_line
from ropewalk.events.training import StepMetrics
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, never_completed, read_manifest, verify_file
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore
from ropewalk.trainer.adapters.fence import claim_epoch
from ropewalk.trainer.adapters.worker.job import CheckpointWritten
from ropewalk.trainer.adapters.worker.progress import METRICS, read_rows
from ropewalk.trainer.adapters.worker.written import held_out_loss, written
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
    `announced` has the id and the manifest hash of every checkpoint in the log, `gone` the ids of those that the log
    says were quarantined or pruned.
    """

    def __init__(
        self,
        objects: ObjectStore,
        run_id: str,
        epoch: int,
        announced: Iterable[tuple[str, str]] = (),
        gone: Iterable[str] = (),
    ) -> None:
        self._objects = objects
        self._run_id = run_id
        self._epoch = epoch
        self._announced: dict[str, set[str]] = {}
        self._gone = set(gone)
        for checkpoint_id, sha256 in announced:
            self._announced.setdefault(checkpoint_id, set()).add(sha256)
        claim_epoch(objects, run_id, epoch)
        self._inherited = frozenset(place for place in self._places() if place.epoch < epoch)

    def announce(self, saved: CheckpointSaved) -> None:
        """This checkpoint is on its way into the log."""
        self._announced.setdefault(saved.checkpoint_id, set()).add(saved.manifest_sha256)
        self._gone.discard(saved.checkpoint_id)

    def newest_whole(self, on_broken: OnBroken) -> WholeCheckpoint | None:
        """The newest checkpoint that verifies. Broken ones on the way are moved to quarantine."""
        for place in sorted(self._places(), key=lambda place: place.progress, reverse=True):
            if place not in self._inherited and place.epoch != self._epoch:
                continue
            try:
                manifest = self._objects.inspect(place.key)
                self._check_origin(place, manifest)
                return WholeCheckpoint(place, manifest)
            except ObjectNotFoundError:
                if place.checkpoint_id in self._held:
                    self._set_aside(place, never_completed(), on_broken)
                # else pruned or quarantined since it was listed
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
        return None

    def ancestry(self, newest: WholeCheckpoint, on_broken: OnBroken) -> list[CheckpointWritten]:
        """The checkpoint and its ancestors that still exist, oldest first, with the events that announce them.

        A damaged ancestor is moved to quarantine: the run does not need it, and its ledger can be proved by the hash
        that the log has. It ends where a manifest cannot be believed, for then nobody knows who came before.
        """
        found: list[CheckpointWritten] = []
        place: CheckpointPlace | None = newest.place
        while place is not None:
            try:
                folder = self._objects.fetch(place.key)
                manifest = read_manifest(folder)
                self._check_origin(place, manifest)
            except ObjectNotFoundError:
                break
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
                break
            try:
                found.append(_found(place, folder, manifest))
            except ManifestError as error:
                self._set_aside(place, error, on_broken)
            place = self._parent(place, manifest)
        return found[::-1]

    @property
    def _held(self) -> set[str]:
        return self._announced.keys() - self._gone

    def _parent(self, place: CheckpointPlace, manifest: Manifest) -> CheckpointPlace | None:
        """The checkpoint that this one continued, if it is of an earlier step."""
        parent_id = str(manifest.meta.get("parent_id") or "")
        parent = self._place_of(parent_id)
        return parent if parent is not None and parent.step < place.step else None

    def _check_origin(self, place: CheckpointPlace, manifest: Manifest) -> None:
        """A folder that agrees with itself may still be another one's. Raises ManifestError."""
        announced = self._announced.get(place.checkpoint_id, set())
        if announced and manifest.sha256 not in announced:
            raise ManifestError(MANIFEST, "is not the one that the log announced")
        expected = {"checkpoint_id": place.checkpoint_id, **asdict(place)}
        for name, value in expected.items():
            if manifest.meta.get(name) != value:
                found = cut(repr(manifest.meta.get(name)), 100)
                raise ManifestError(MANIFEST, f"belongs to another place: its {name} is {found}")
        held_out_loss(manifest)
        if not announced:
            self._check_parent(place, manifest)

    def _check_parent(self, place: CheckpointPlace, manifest: Manifest) -> None:
        """Nobody announced this one, so it must continue one that counts. Raises ManifestError."""
        if not self._held:
            return  # the log knows nothing that it could contradict
        if not manifest.meta.get("parent_id"):
            raise ManifestError(MANIFEST, "begins anew, and the log has checkpoints to continue")
        parent = self._parent(place, manifest)
        if parent is None:
            raise ManifestError(MANIFEST, "continues no checkpoint of an earlier step of this run")
        wanted = manifest.meta.get("parent_sha256")
        if announced := self._announced.get(parent.checkpoint_id):
            # Without a hash it was written by the release before.
            if wanted is not None and wanted not in announced:
                raise ManifestError(MANIFEST, f"continues another {parent.checkpoint_id} than the log announced")
            return
        self._check_unannounced(parent, wanted)

    def _check_unannounced(self, parent: CheckpointPlace, wanted: JsonValue) -> None:
        try:
            manifest = read_manifest(self._objects.fetch(parent.key))
        except ObjectNotFoundError:
            raise ManifestError(MANIFEST, f"continues {parent.checkpoint_id}, which nobody knows") from None
        if wanted is not None and wanted != manifest.sha256:
            raise ManifestError(MANIFEST, f"continues another {parent.checkpoint_id} than is there")
        self._check_origin(parent, manifest)

    def _set_aside(self, place: CheckpointPlace, error: ManifestError, on_broken: OnBroken) -> None:
        uri = f"quarantine/checkpoints/{place.checkpoint_id}"
        try:
            self._objects.move(place.key, uri)
        except ObjectNotFoundError:
            if place.checkpoint_id not in self._held:
                return  # somebody else set it aside
        except OSError:
            uri = place.key  # it stays where it is: not worth a run
        self._gone.add(place.checkpoint_id)
        on_broken(
            CheckpointQuarantined(
                run_id=place.run_id,
                checkpoint_id=place.checkpoint_id,
                step=place.step,
                uri=uri,
                file=one_line(error.file, 400),
                reason=one_line(error.reason, 1000),
            )
        )

    def _place_of(self, checkpoint_id: str) -> CheckpointPlace | None:
        return place_of(f"{self._prefix}{checkpoint_id.removeprefix(f'{self._run_id}-')}")

    @property
    def _prefix(self) -> str:
        return f"runs/{self._run_id}/checkpoints/"

    def _places(self) -> set[CheckpointPlace]:
        """Where something lies or should lie. Whatever else lies there is not ours."""
        there = {*self._objects.list(self._prefix), *self._objects.fragments(self._prefix)}
        places = {place_of(key) for key in there} | {self._place_of(held) for held in self._held}
        return {place for place in places if place is not None}


def _found(place: CheckpointPlace, folder: Path, manifest: Manifest) -> CheckpointWritten:
    """The events of a checkpoint whose ledger is whole. Raises ManifestError."""
    try:
        verify_file(folder, manifest, LEDGER)
        found = written(place, manifest, read_ledger(folder))
    except LedgerError as error:
        raise ManifestError(LEDGER, str(error)) from None
    return replace(found, rows=_rows(folder, manifest))


def _rows(folder: Path, manifest: Manifest) -> tuple[StepMetrics, ...]:
    """The metrics of a checkpoint's steps. Raises ManifestError."""
    if METRICS not in manifest.files:
        return ()
    verify_file(folder, manifest, METRICS)
    try:
        return read_rows(folder)
    except ValidationError:
        raise ManifestError(METRICS, "holds no metrics of steps") from None
