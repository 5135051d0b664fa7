"""A manifest lists every file of a folder with its hash, and is written last: its presence means complete.

Write order: files -> fsync -> manifest.json to a temporary name -> fsync -> rename -> fsync of the folder.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ropewalk.storage.errors import StorageError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20


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


def file_sha256(path: Path) -> str:
    """The hex SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def seal(folder: Path, meta: dict[str, JsonValue]) -> Manifest:
    """Hash and sync every file of the folder, then write its manifest. Raises OSError (a full disk, say)."""
    files: dict[str, tuple[str, int]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
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
    sync(folder)  # the new name lies in the folder, not in the file
    return Manifest(sha256=hashlib.sha256(body).hexdigest(), files=files, meta=meta)


def read_manifest(folder: Path) -> Manifest:
    """The manifest without looking at the files. Raises ManifestError."""
    try:
        body = (folder / MANIFEST).read_bytes()
        content = json.loads(body)
        files = {name: (entry["sha256"], entry["num_bytes"]) for name, entry in content["files"].items()}
        meta = content["meta"]
        if not isinstance(meta, dict):
            raise TypeError("meta is no mapping")
        return Manifest(sha256=hashlib.sha256(body).hexdigest(), files=files, meta=meta)
    except FileNotFoundError:
        raise ManifestError(MANIFEST, "is missing, so the folder was never completed") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(MANIFEST, f"cannot be read ({error})") from None


def verify(folder: Path) -> Manifest:
    """Check every file against the manifest. Raises ManifestError for the first that differs."""
    manifest = read_manifest(folder)
    for name in manifest.files:
        verify_file(folder, manifest, name)
    return manifest


def verify_file(folder: Path, manifest: Manifest, name: str) -> None:
    """Check one file against the manifest. Raises ManifestError."""
    path = folder / name
    if name not in manifest.files or not path.is_file():
        raise ManifestError(name, "is missing")
    sha256, num_bytes = manifest.files[name]
    if path.stat().st_size != num_bytes:
        raise ManifestError(name, f"has {path.stat().st_size} bytes, the manifest says {num_bytes}")
    if file_sha256(path) != sha256:
        raise ManifestError(name, "has another SHA-256 than the manifest says")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
