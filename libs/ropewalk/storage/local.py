"""The object store as a local (or shared) folder.

A folder is sealed under a temporary name in the same file system and then renamed, so readers see it whole.
"""

import os
import shutil
import uuid
from pathlib import Path

from pydantic import JsonValue

from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, OnBytes, seal, sync, verify
from ropewalk.storage.objects import ObjectNotFoundError

_INCOMING = ".incoming"
_OUTGOING = ".outgoing"


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
            return self._place(incoming, self._path(key), seal(incoming, meta))
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _place(self, incoming: Path, target: Path, manifest: Manifest) -> Manifest:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                incoming.rename(target)
            except OSError:
                if not os.path.lexists(target):
                    raise
                try:
                    there = verify(target)
                except ManifestError:  # a deletion that was cut short, or damage: ours is whole
                    self._discard(target)
                    continue
                # Another attempt was faster. The same files: that is success, whoever did it.
                if there.files != manifest.files:
                    raise FileExistsError(f"{target} already holds another content") from None
                return there
            sync(target.parent)
            return manifest

    def fetch(self, key: str) -> Path:
        """See ObjectStore.fetch."""
        path = self._path(key)
        if not self.exists(key):
            raise ObjectNotFoundError(f"there is no complete object under {key!r}")
        return path

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        return _is_complete(self._path(key))

    def inspect(self, key: str, on_bytes: OnBytes = lambda _: None) -> Manifest:
        """See ObjectStore.inspect."""
        path = self._path(key)
        if not os.path.lexists(path):
            raise ObjectNotFoundError(f"there is nothing under {key!r}")
        if path.is_symlink():
            raise ManifestError(MANIFEST, "is in another folder, to which a link leads")
        return verify(path, on_bytes)

    def fragments(self, prefix: str) -> list[str]:
        """See ObjectStore.fragments."""
        base = self._path(prefix)
        names = os.listdir(base) if base.is_dir() else []
        keys = (f"{prefix.rstrip('/')}/{name}" for name in names)
        return sorted(key for key in keys if not self.exists(key))

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore.list."""
        base = self._path(prefix)
        found = base.rglob(MANIFEST) if base.is_dir() else iter(())
        return sorted(path.parent.relative_to(self.root).as_posix() for path in found if _is_complete(path.parent))

    def move(self, key: str, to: str) -> None:
        """See ObjectStore.move."""
        source, target = self._path(key), self._path(to)
        if not os.path.lexists(source):
            raise ObjectNotFoundError(f"there is no object under {key!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._discard(target)
        try:
            source.rename(target)
        except PermissionError:
            source.chmod(0o700)  # a folder that may not be written cannot change its parent
            source.rename(target)
        sync(target.parent)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete. Gone at once, however long it takes to remove the files."""
        self._discard(self._path(key))

    def _discard(self, path: Path) -> None:
        outgoing = self.root / _OUTGOING / uuid.uuid4().hex
        outgoing.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(outgoing)
        except FileNotFoundError:
            return
        if outgoing.is_dir() and not outgoing.is_symlink():
            shutil.rmtree(outgoing, ignore_errors=True)
        else:
            outgoing.unlink()

    def _path(self, key: str) -> Path:
        """Where a key lies: itself if it is a link, for that is what to move or to remove, and none that leads out."""
        path = self.root / key
        path = path.parent.resolve() / path.name
        if not path.resolve().is_relative_to(self.root.resolve()) or path.name == "..":
            raise ValueError(f"object key {key!r} leads outside the store")
        return path


def _is_complete(folder: Path) -> bool:
    """Whether a manifest lies in the folder itself, not in one that a link leads to."""
    try:
        return not folder.is_symlink() and (folder / MANIFEST).is_file()
    except PermissionError:
        return False
