"""What the child process of an import does: read, write, hash, compare. Importing this module loads no torch."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.model.importing.source import ModelSource
from ropewalk.storage.manifest import file_sha256

if TYPE_CHECKING:
    from ropewalk.model.importing.loading import Written


@dataclass(frozen=True, kw_only=True)
class ImportWork:
    """`target` is the folder to write, not there yet. A content among `known` is not compared once more."""

    source: ModelSource
    licence: str
    target: Path
    known: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """What was written, the SHA-256 over names and hashes of its files, and the certificate (empty where known)."""

    written: "Written"
    content: str
    certificate: dict[str, Any]


def read_and_compare(work: ImportWork, say: Callable[[str], None]) -> ComparedModel:
    """Write the folder of a model and certify it. Raises ModelError with the reason why not."""
    from ropewalk.model.importing.certificate import certify
    from ropewalk.model.importing.loading import write_folder

    work.target.mkdir()
    written = write_folder(work.source, work.licence, work.target, say)
    say("hashing")
    content = content_of(work.target)
    certificate = {} if content in work.known else certify(work.target, say)
    return ComparedModel(written=written, content=content, certificate=certificate)


def content_of(folder: Path) -> str:
    """The SHA-256 over the names and hashes of a folder's files."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hashes = {name: file_sha256(path) for name, path in sorted(files.items())}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
