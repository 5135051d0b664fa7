"""The object store as a local (or shared) folder.

A folder is sealed under a temporary name in the same file system and then renamed, so readers see it whole.
"""

import errno
import os
import shutil
import uuid
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from ropewalk.storage.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    OnBytes,
    damage,
    read_manifest,
    seal,
    sync,
    verify,
)
from ropewalk.storage.objects import ObjectNotFoundError

_INCOMING = ".incoming"
_OUTGOING = ".outgoing"
_MOST_LEVELS = 8  # of folders below a prefix, in which objects are looked for: keys are shorter


class _LeadsOutError(OSError):
    """On the way to a key lies a link that leads out of the store."""


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
        if not self.exists(key):
            raise ObjectNotFoundError(f"there is no complete object under {key!r}")
        return self._path(key)

    def manifest(self, key: str) -> Manifest:
        """See ObjectStore.manifest."""
        return read_manifest(self.fetch(key))

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        try:
            return _is_complete(self._path(key))
        except _LeadsOutError:
            return False

    def inspect(self, key: str, on_bytes: OnBytes = lambda _: None) -> Manifest:
        """See ObjectStore.inspect."""
        with damage(MANIFEST):
            path = self._path(key)
        if not os.path.lexists(path):
            raise ObjectNotFoundError(f"there is nothing under {key!r}")
        if path.is_symlink():
            raise ManifestError(MANIFEST, "is in another folder, to which a link leads")
        return verify(path, on_bytes)

    def fragments(self, prefix: str) -> list[str]:
        """See ObjectStore.fragments."""
        base = self._below(prefix)
        names = os.listdir(base) if base is not None else []
        keys = (f"{prefix.rstrip('/')}/{name}" for name in names)
        return sorted(key for key in keys if not self.exists(key))

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore.list."""
        base, keys = self._below(prefix), list[str]()
        for place, folders, files in os.walk(base, onerror=_unless_closed) if base is not None else ():
            here = Path(place).relative_to(base or place)
            if len(here.parts) >= _MOST_LEVELS:
                folders.clear()
            if MANIFEST in files and _is_complete(Path(place)):
                keys.append((PurePosixPath(prefix) / here).as_posix())
        return sorted(keys)

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
            if source.is_symlink():
                raise
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
        """Where a key lies: itself if it is a link, for that is what to move or to remove.

        Raises ValueError for a key that leads out of the store, OSError if a link on the way does.
        """
        root = os.path.abspath(self.root)
        path = Path(os.path.abspath(self.root / key))
        if not path.is_relative_to(root):
            raise ValueError(f"object key {key!r} leads outside the store")
        if path == Path(root):
            return path
        parent = Path(os.path.realpath(path.parent))
        if not parent.is_relative_to(os.path.realpath(root)):
            raise _LeadsOutError(errno.ELOOP, "a link leads outside the store", str(path.parent))
        return parent / path.name

    def _below(self, prefix: str) -> Path | None:
        """The folder in which the keys of a prefix lie, if it is there and in the store."""
        try:
            base = self._path(os.path.join(prefix, MANIFEST)).parent
        except _LeadsOutError:
            return None
        return base if base.is_dir() else None


def _is_complete(folder: Path) -> bool:
    """Whether a manifest lies in the folder itself, not in one that a link leads to."""
    try:
        return not folder.is_symlink() and (folder / MANIFEST).is_file()
    except PermissionError:
        return False


def _unless_closed(error: OSError) -> None:
    """What may not be read, or was removed meanwhile, has no object in it."""
    if not isinstance(error, PermissionError | FileNotFoundError):
        raise error
