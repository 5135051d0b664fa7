"""Checkpoints in the object store: hash them, set broken ones aside, keep their ledgers.

Everything here is blocking (hashing, renaming) and belongs into a thread.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ropewalk.checkpoint_manager.domain.keys import ledger_key, quarantine_key
from ropewalk.events.foreign import one_line
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, OnBytes, never_completed
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Broken:
    """The first file that differs, and how."""

    file: str
    reason: str


def inspect(
    objects: ObjectStore, uri: str, manifest_sha256: str, on_bytes: OnBytes = lambda _: None
) -> Manifest | Broken:
    """Hash every file under `uri`: its manifest if it holds. An empty `manifest_sha256` accepts any manifest."""
    try:
        manifest = objects.inspect(uri, on_bytes)
    except ManifestError as error:
        return Broken(one_line(error.file, 400), one_line(error.reason, 1000))
    except ObjectNotFoundError:
        return Broken(MANIFEST, never_completed().reason)
    if manifest_sha256 and manifest.sha256 != manifest_sha256:
        return Broken(MANIFEST, "is not the one that the log announced")
    return manifest


def set_aside(objects: ObjectStore, uri: str, checkpoint_id: str, broken: Broken) -> Broken:
    """Move a checkpoint into quarantine. Told a second time, it repeats what was wrong the first time."""
    return move_aside(objects, uri, quarantine_key(checkpoint_id), broken)


def move_aside(objects: ObjectStore, uri: str, target: str, broken: Broken) -> Broken:
    """Move a broken folder. Gives what was wrong with it, also if it was moved before."""
    try:
        objects.move(uri, target)
    except ObjectNotFoundError:
        earlier = inspect(objects, target, "")
        return earlier if isinstance(earlier, Broken) else broken
    except OSError as error:
        return replace(broken, reason=f"{broken.reason}; it could not be moved: {error.strerror}")
    return broken


def keep_ledger(objects: ObjectStore, uri: str, run_id: str, checkpoint_id: str) -> None:
    """Copy the step ledger out of a checkpoint, so that it outlives it."""
    key = ledger_key(run_id, checkpoint_id)
    ledger = objects.fetch(uri) / LEDGER
    if objects.exists(key) or not ledger.is_file():
        return
    with tempfile.TemporaryDirectory(prefix="ropewalk-ledger-") as scratch:
        folder = Path(scratch) / "ledger"
        folder.mkdir()
        shutil.copyfile(ledger, folder / LEDGER)
        objects.publish(folder, key, {"run_id": run_id, "checkpoint_id": checkpoint_id})
