"""A manifest lists every file of a folder with its hash, and is written last: its presence means complete.

Write order: files -> fsync -> manifest.json to a temporary name -> fsync -> rename -> fsync of the folder.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ropewalk.storage.errors import StorageError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_MOST_BYTES = 64 << 20  # of a manifest: a dataset of 300,000 files has one of 40 MB
_MOST_LEVELS = 100  # of folders in a folder: no file of ours lies deeper
_SHA256 = re.compile("[0-9a-f]{64}")
# What an operating system says of a folder that is damaged. Anything else may be said of a sound one (no descriptors
# left, a server that is away) and must not condemn it.
_OF_THE_FOLDER = {
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ENXIO,
}

OnBytes = Callable[[int], None]
"""Called with the size of each piece that was read; it may wait, to go easy on the disk."""


class ManifestError(StorageError, ValueError):
    """A folder is not what its manifest promises. `file` is the first file that differs."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The verified content of a folder. `files` maps a relative path to (sha256, bytes)."""

    sha256: str
    files: dict[str, tuple[str, int]]
    meta: dict[str, JsonValue]

    @property
    def num_bytes(self) -> int:
        """The size of all files."""
        return sum(size for _, size in self.files.values())


def file_sha256(path: Path, on_bytes: OnBytes = lambda _: None) -> str:
    """The hex SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def seal(folder: Path, meta: dict[str, JsonValue]) -> Manifest:
    """Hash and sync every file of the folder, then write its manifest. Raises OSError (a full disk, say)."""
    files: dict[str, tuple[str, int]] = {}
    (folder / MANIFEST).unlink(missing_ok=True)  # of an earlier sealing
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sync(path)  # before the manifest: a power cut must not leave a manifest that promises what is not there
        files[path.relative_to(folder).as_posix()] = (file_sha256(path), path.stat().st_size)
    body = json.dumps(
        {
            "files": {name: {"sha256": sha, "num_bytes": size} for name, (sha, size) in files.items()},
            "meta": meta,
        },
        sort_keys=True,
        indent=1,
    ).encode()
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_bytes(body)
    sync(temporary)
    temporary.rename(folder / MANIFEST)
    for place in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync(place)  # a name lies in its folder, not in the file
    return Manifest(sha256=hashlib.sha256(body).hexdigest(), files=files, meta=meta)


def read_manifest(folder: Path) -> Manifest:
    """The manifest without looking at the files. Raises ManifestError."""
    path = folder / MANIFEST
    try:
        with damage(MANIFEST):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:  # to open a pipe waits for a writer
                raise ManifestError(MANIFEST, f"is no plain file, or larger than {_MOST_BYTES >> 20} MiB")
            return parse_manifest(path.read_bytes())
    except FileNotFoundError:
        raise never_completed() from None


def never_completed() -> ManifestError:
    """What is wrong with a folder that has no manifest."""
    return ManifestError(MANIFEST, "is missing, so the folder was never completed")


def parse_manifest(body: bytes) -> Manifest:
    """A manifest from its bytes. Raises ManifestError for whatever `seal` does not write."""
    try:
        content = json.loads(body, object_pairs_hook=_without_repetition)
        meta = content["meta"]
        if not isinstance(meta, dict):
            raise TypeError("meta is no mapping")
        files = dict(_entry(name, entry) for name, entry in content["files"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(MANIFEST, f"cannot be read ({error})") from None
    return Manifest(sha256=hashlib.sha256(body).hexdigest(), files=files, meta=meta)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one name, readers disagree on which counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name is there twice")
    return content


def _entry(name: str, entry: dict[str, Any]) -> tuple[str, tuple[str, int]]:
    sha256, num_bytes = entry["sha256"], entry["num_bytes"]
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name[:100]!r} leads outside the folder")
    if not _SHA256.fullmatch(sha256) or type(num_bytes) is not int:
        raise ValueError(f"the hash or the size of {name[:100]!r} is none")
    return name, (sha256, num_bytes)


def verify(folder: Path, on_bytes: OnBytes = lambda _: None) -> Manifest:
    """Check every file against the manifest, and that there is no other. Raises ManifestError for the first."""
    manifest = read_manifest(folder)
    for name in manifest.files:
        verify_file(folder, manifest, name, on_bytes)
    with damage(MANIFEST):
        check_names(manifest, _names(folder))
    return manifest


def check_names(manifest: Manifest, names: set[str]) -> None:
    """A file too much is damage as well: libraries load what they find. Raises ManifestError."""
    if extra := sorted(names - manifest.files.keys() - {MANIFEST}):
        raise ManifestError(extra[0], "is not in the manifest")


def _names(folder: Path) -> set[str]:
    """Of all that lies in the folder and is no folder itself. Raises ManifestError, OSError."""
    names: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=_unless_gone):
        here = Path(place).relative_to(folder)
        if len(here.parts) > _MOST_LEVELS:
            raise ManifestError(here.as_posix(), f"lies below more than {_MOST_LEVELS} folders")
        links = (name for name in folders if (folder / here / name).is_symlink())
        names |= {(here / name).as_posix() for name in (*files, *links)}
    return names


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def verify_file(folder: Path, manifest: Manifest, name: str, on_bytes: OnBytes = lambda _: None) -> None:
    """Check one file against the manifest. Raises ManifestError."""
    path = folder / name
    with damage(name):
        if name not in manifest.files or not path.exists():
            raise ManifestError(name, "is missing")
        if path.is_symlink() or not path.is_file():
            raise ManifestError(name, "is no plain file")
        check_file(manifest, name, path.stat().st_size, lambda: file_sha256(path, on_bytes))


def check_file(manifest: Manifest, name: str, size: int, found: Callable[[], str]) -> None:
    """Compare size and hash; the hash is only asked for if the size is right. Raises ManifestError."""
    sha256, num_bytes = manifest.files[name]
    if size != num_bytes:
        raise ManifestError(name, f"has {size} bytes, the manifest says {num_bytes}")
    if found() != sha256:
        raise ManifestError(name, "has another SHA-256 than the manifest says")


@contextmanager
def damage(name: str) -> Iterator[None]:
    """An error of the operating system that is about this file is a ManifestError; any other passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_FOLDER:
            raise
        raise ManifestError(name, f"cannot be read ({error.strerror})") from None


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
