"""The object store: sealed folders under keys. One Protocol, two adapters (`local`, `remote`).

A key is a relative path such as `segments/9f3c…`; events carry keys as URIs, so the same log is true on every
machine whatever the store's root is. A folder appears under its key whole or not at all.
"""

from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from ropewalk.storage.errors import StorageError
from ropewalk.storage.manifest import Manifest, OnBytes


class ObjectNotFoundError(StorageError, LookupError):
    """There is no complete folder under the key."""


class ObjectStore(Protocol):
    """Where bulk data lives. All methods may be called from several processes at once."""

    def publish(self, folder: Path, key: str, meta: dict[str, JsonValue]) -> Manifest:
        """Seal `folder` and make it appear under `key`; `folder` is consumed.

        A complete folder already there with the same files is kept (publishing is idempotent); with other files
        it raises FileExistsError. Raises OSError when the disk is full; then nothing appears under the key.
        """
        ...

    def fetch(self, key: str) -> Path:
        """A local, read-only folder with the content of `key`. Raises ObjectNotFoundError, ManifestError."""
        ...

    def inspect(self, key: str, on_bytes: OnBytes = lambda _: None) -> Manifest:
        """Hash every file as the store itself has it now, whatever was fetched before.

        Raises ManifestError, of a folder without manifest too, and ObjectNotFoundError if there is nothing at all.
        """
        ...

    def manifest(self, key: str) -> Manifest:
        """What a folder says of itself, without a look at its files. Raises ObjectNotFoundError, ManifestError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether a complete folder lies under `key`."""
        ...

    def fragments(self, prefix: str) -> list[str]:
        """The names directly below a prefix, as keys, that are no complete folders: unfinished or damaged, sorted."""
        ...

    def list(self, prefix: str) -> list[str]:
        """The keys of all complete folders below a prefix, sorted."""
        ...

    def move(self, key: str, to: str) -> None:
        """Rename a folder, also an incomplete one (quarantine, trash). Raises ObjectNotFoundError, OSError."""
        ...

    def delete(self, key: str) -> None:
        """Remove a folder; nothing happens if it is not there."""
        ...
