"""The object store in a bucket (S3 and what speaks its protocol), through the obstore library.

A bucket has no rename, so a folder is complete when its manifest object exists: the files go up first, the
manifest last and only if none is there. What is fetched is verified and kept in a local cache.
"""

import shutil
import uuid
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import MemoryStore, S3Store
from pydantic import JsonValue

from ropewalk.storage.manifest import MANIFEST, Manifest, read_manifest, seal, verify
from ropewalk.storage.objects import ObjectNotFoundError


def open_bucket(url: str, *, endpoint: str) -> Any:
    """The bucket of an `s3://bucket/prefix` URL; `memory://` is a bucket of this process."""
    if url.startswith("memory:"):
        return MemoryStore()
    if not endpoint:
        return S3Store.from_url(url)
    allow_http = endpoint.startswith("http://")
    return S3Store.from_url(
        url, endpoint=endpoint, virtual_hosted_style_request=False, client_options={"allow_http": allow_http}
    )


class RemoteObjects:
    """Sealed folders in a bucket, with a local cache of what was fetched."""

    def __init__(self, bucket: Any, *, cache: Path) -> None:
        self._bucket = bucket
        self._cache = cache

    def publish(self, folder: Path, key: str, meta: dict[str, JsonValue]) -> Manifest:
        """See ObjectStore.publish."""
        manifest = seal(folder, meta)
        if self.exists(key):
            return self._same(key, manifest, folder)
        for name in manifest.files:  # a half of them counts for nothing until the manifest is there
            obstore.put(self._bucket, f"{key}/{name}", folder / name)
        try:
            obstore.put(self._bucket, f"{key}/{MANIFEST}", folder / MANIFEST, mode="create")
        except AlreadyExistsError:
            return self._same(key, manifest, folder)
        shutil.rmtree(folder)
        return manifest

    def _same(self, key: str, manifest: Manifest, folder: Path) -> Manifest:
        shutil.rmtree(folder)
        if read_manifest(self.fetch(key)).files != manifest.files:
            raise FileExistsError(f"{key} already holds another content")
        return manifest

    def fetch(self, key: str) -> Path:
        """See ObjectStore.fetch."""
        target = self._cache / key
        if (target / MANIFEST).is_file():
            return target
        if not self.exists(key):
            raise ObjectNotFoundError(f"there is no complete object under {key!r}")
        incoming = self._cache / ".incoming" / uuid.uuid4().hex
        for name in self._names(key):
            path = incoming / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in obstore.get(self._bucket, f"{key}/{name}").stream():
                    file.write(chunk)
        verify(incoming)  # before it has its name: what is in the cache is taken without another look
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        incoming.rename(target)
        return target

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        try:
            obstore.head(self._bucket, f"{key}/{MANIFEST}")
        except FileNotFoundError:
            return False
        return True

    def _names(self, key: str) -> list[str]:
        pages = obstore.list(self._bucket, key)
        return [item["path"].removeprefix(f"{key}/") for page in pages for item in page]

    def list(self, prefix: str) -> list[str]:
        """See ObjectStore.list."""
        ending = f"/{MANIFEST}"
        paths = [item["path"] for page in obstore.list(self._bucket, prefix.rstrip("/")) for item in page]
        return sorted(path.removesuffix(ending) for path in paths if path.endswith(ending))

    def move(self, key: str, to: str) -> None:
        """See ObjectStore.move."""
        names = self._names(key)
        if not names:
            raise ObjectNotFoundError(f"there is no object under {key!r}")
        self.delete(to)
        for name in sorted(names, key=lambda name: name == MANIFEST):  # the manifest last, as in `publish`
            obstore.copy(self._bucket, f"{key}/{name}", f"{to}/{name}")
        self.delete(key)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete. The manifest goes first, so that a half-deleted folder is never complete."""
        shutil.rmtree(self._cache / key, ignore_errors=True)
        for name in sorted(self._names(key), key=lambda name: name != MANIFEST):
            obstore.delete(self._bucket, f"{key}/{name}")
