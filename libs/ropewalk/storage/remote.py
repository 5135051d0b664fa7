"""The object store in a bucket (S3 and what speaks its protocol), through the obstore library.

A bucket has no rename, so a folder is complete when its manifest object exists: the files go up first, the
manifest last and only if none is there. What is fetched is verified and kept in a local cache.
"""

import hashlib
import shutil
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import MemoryStore, S3Store
from pydantic import JsonValue

from ropewalk.storage.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    OnBytes,
    check_file,
    check_names,
    never_completed,
    parse_manifest,
    seal,
    verify,
)
from ropewalk.storage.objects import ObjectNotFoundError

_BETWEEN_TRIES_S = 5.0  # at most: a store that is back must not wait long
_MOST_TRIES = 1000  # the time ends them


def open_bucket(url: str, *, endpoint: str, patience_s: float, timeout_s: int = 0) -> Any:
    """The bucket of an `s3://bucket/prefix` URL; `memory://` is a bucket of this process.

    What a server answers with 5xx (one whose disk is full, too) or not at all is asked again for `patience_s`, 0 for
    once only. `timeout_s` of one request, 0 for obstore's own.
    """
    if url.startswith("memory:"):
        return MemoryStore()
    client: Any = {"timeout": f"{timeout_s}s", "connect_timeout": f"{timeout_s}s"} if timeout_s else {}
    options: dict[str, Any] = {}
    if endpoint:
        client["allow_http"] = endpoint.startswith("http://")
        options = {"endpoint": endpoint, "virtual_hosted_style_request": False}
    backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=_BETWEEN_TRIES_S), "base": 2}
    retry: Any = {
        "max_retries": _MOST_TRIES if patience_s else 0,
        "retry_timeout": timedelta(seconds=patience_s),
        "backoff": backoff,
    }
    return S3Store.from_url(url, client_options=client, retry_config=retry, **options)


class RemoteObjects:
    """Sealed folders in a bucket, with a local cache of what was fetched."""

    def __init__(self, bucket: Any, *, cache: Path) -> None:
        self._bucket = bucket
        self._cache = cache
        self._known: dict[Path, tuple[str, object]] = {}  # what was hashed here, and how it looked then

    def publish(self, folder: Path, key: str, meta: dict[str, JsonValue]) -> Manifest:
        """See ObjectStore.publish."""
        manifest = seal(folder, meta)
        while not self._place(folder, key, manifest):
            try:
                there = self.inspect(key)
            except ObjectNotFoundError:
                continue  # it was moved away since
            except ManifestError:  # damage: ours is whole
                self.delete(key)
                continue
            # Another attempt was faster. The same files: that is success, whoever did it.
            if there.files != manifest.files:
                raise FileExistsError(f"{key} already holds another content")
            manifest = there
            break
        shutil.rmtree(folder)
        return manifest

    def _place(self, folder: Path, key: str, manifest: Manifest) -> bool:
        """Upload; False if a manifest is there already. A half of the files counts for nothing without one."""
        if self.exists(key):
            return False
        for name in set(self._names(key)) - manifest.files.keys():
            obstore.delete(self._bucket, f"{key}/{name}")  # left by somebody who was cut short
        try:
            for name in manifest.files:
                obstore.put(self._bucket, f"{key}/{name}", folder / name)
            obstore.put(self._bucket, f"{key}/{MANIFEST}", folder / MANIFEST, mode="create")
        except AlreadyExistsError:
            return False
        except BaseError as error:
            raise OSError(f"the object store takes no files: {what_was_said(error)}") from error
        return True

    def fetch(self, key: str) -> Path:
        """See ObjectStore.fetch. What the cache has is taken if the bucket still says the same and it is whole."""
        target, manifest = self._cache / key, self.manifest(key)
        if self._is_cached(target, manifest):
            return target
        incoming = self._cache / ".incoming" / uuid.uuid4().hex
        try:
            self._download(key, incoming)
            verify(incoming)  # before it has its name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            incoming.rename(target)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        self._known[target] = (manifest.sha256, _stamp(target))
        return target

    def manifest(self, key: str) -> Manifest:
        """See ObjectStore.manifest."""
        body = self._manifest_body(key)
        if body is None:
            raise ObjectNotFoundError(f"there is no complete object under {key!r}")
        return parse_manifest(body)

    def _is_cached(self, target: Path, manifest: Manifest) -> bool:
        """Hash it once in a process, and again when it changed: a damaged copy must not condemn the original."""
        if not target.is_dir():
            return False
        stamp = (manifest.sha256, _stamp(target))
        if self._known.get(target) == stamp:
            return True
        try:
            whole = verify(target).sha256 == manifest.sha256
        except ManifestError:
            return False
        if whole:
            self._known[target] = stamp
        return whole

    def _download(self, key: str, folder: Path) -> None:
        for name in self._names(key):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in obstore.get(self._bucket, f"{key}/{name}").stream():
                    file.write(chunk)

    def _manifest_body(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._bucket, f"{key}/{MANIFEST}").bytes())
        except FileNotFoundError:
            return None

    def inspect(self, key: str, on_bytes: OnBytes = lambda _: None) -> Manifest:
        """See ObjectStore.inspect."""
        sizes = self._sizes(key)
        if not sizes:
            raise ObjectNotFoundError(f"there is nothing under {key!r}")
        body = self._manifest_body(key)
        if body is None:
            raise never_completed()
        manifest = parse_manifest(body)
        for name in manifest.files:
            if name not in sizes:
                raise ManifestError(name, "is missing")
            check_file(manifest, name, sizes[name], partial(self._sha256, f"{key}/{name}", on_bytes))
        check_names(manifest, set(sizes))
        return manifest

    def _sha256(self, path: str, on_bytes: OnBytes) -> str:
        digest = hashlib.sha256()
        for chunk in obstore.get(self._bucket, path).stream():
            digest.update(chunk)
            on_bytes(len(chunk))
        return digest.hexdigest()

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        try:
            obstore.head(self._bucket, f"{key}/{MANIFEST}")
        except FileNotFoundError:
            return False
        return True

    def _names(self, key: str) -> list[str]:
        return list(self._sizes(key))

    def _sizes(self, key: str) -> dict[str, int]:
        pages = obstore.list(self._bucket, key)
        return {item["path"].removeprefix(f"{key}/"): item["size"] for page in pages for item in page}

    def fragments(self, prefix: str) -> list[str]:
        """See ObjectStore.fragments."""
        found = obstore.list_with_delimiter(self._bucket, prefix.rstrip("/"))
        return sorted(key for key in found["common_prefixes"] if not self.exists(key))

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


def what_was_said(error: Exception) -> str:
    """An error of the client, without the page of its insides that follows."""
    return str(error).partition("\n\nDebug source")[0]


def _stamp(folder: Path) -> object:
    """Changes with any file that is written anew."""
    return {
        path.as_posix(): (state.st_size, state.st_mtime_ns, state.st_ino)
        for path in folder.rglob("*")
        if (state := path.lstat())
    }
