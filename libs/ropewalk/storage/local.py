"""The object store as a local (or shared) folder.

A folder is sealed under a temporary name in the same file system and then renamed, so readers see it whole.
"""

import shutil
import uuid
from pathlib import Path

from pydantic import JsonValue

from ropewalk.storage.manifest import MANIFEST, Manifest, read_manifest, seal, sync
from ropewalk.storage.objects import ObjectNotFoundError

_INCOMING = ".incoming"


class LocalObjects:
    """Sealed folders below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, folder: Path, key: str, meta: dict[str, JsonValue]) -> Manifest:
        """See ObjectStore.publish."""
        incoming = self.root / _INCOMING / uuid.uuid4().hex
        incoming.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.move(folder, incoming)  # it may lie on another file system, across which no rename works
            manifest = seal(incoming, meta)
            self._place(incoming, self._path(key), manifest)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return manifest

    def _place(self, incoming: Path, target: Path, manifest: Manifest) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                incoming.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                if not (target / MANIFEST).is_file():  # left by a deletion that was cut short: it counts as nothing
                    shutil.rmtree(target)
                    continue
                # Another attempt was faster. The same files: that is success, whoever did it.
                if read_manifest(target).files != manifest.files:
                    raise FileExistsError(f"{target} already holds another content") from None
            break
        sync(target.parent)

    def fetch(self, key: str) -> Path:
        """See ObjectStore.fetch."""
        path = self._path(key)
        if not (path / MANIFEST).is_file():
            raise ObjectNotFoundError(f"there is no complete object under {key!r}")
        return path

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        return (self._path(key) / MANIFEST).is_file()

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore.list."""
        base = self._path(prefix)
        found = base.rglob(MANIFEST) if base.is_dir() else iter(())
        return sorted(path.parent.relative_to(self.root).as_posix() for path in found)

    def move(self, key: str, to: str) -> None:
        """See ObjectStore.move."""
        source, target = self._path(key), self._path(to)
        if not source.is_dir():
            raise ObjectNotFoundError(f"there is no object under {key!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        source.rename(target)
        sync(target.parent)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete. The manifest goes first, so that a half-deleted folder is never complete."""
        path = self._path(key)
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    def _path(self, key: str) -> Path:
        path = (self.root / key).resolve()  # with the links followed, so that none leads out
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"object key {key!r} leads outside the store")
        return path
