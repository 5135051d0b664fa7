"""From a URL to an object store, so that a setting (or an argument of a worker process) is one string."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ropewalk.storage.local import LocalObjects
from ropewalk.storage.objects import ObjectStore

IN_HAND_S = 180.0  # a stage keeps its lease meanwhile, so a store that is full or away for a while costs nothing
AT_HAND_S = 10.0  # somebody looks at a terminal


@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """The object store as plain strings, so that every process on every machine opens it for itself."""

    url: str
    endpoint: str = ""
    cache: Path | None = None
    patience_s: float = IN_HAND_S  # with a remote store that does not answer or has no room

    def connect(self) -> ObjectStore:
        """Open the store at `file:///path` or `s3://bucket/prefix`. Raises ValueError for any other scheme.

        A remote store keeps what it fetched in `cache`; `endpoint` is the URL of an S3-compatible server.
        """
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return LocalObjects(Path(unquote(parts.path)))
        if parts.scheme in {"s3", "memory"}:
            from ropewalk.storage.remote import RemoteObjects, open_bucket  # needs the S3 library

            # Not below /tmp: others could put objects there first.
            cache = self.cache or Path("~/.ropewalk/cache").expanduser()
            bucket = open_bucket(self.url, endpoint=self.endpoint, patience_s=self.patience_s)
            return RemoteObjects(bucket, cache=cache)
        raise ValueError(f"object store URL {self.url!r}: use file:///path or s3://bucket/prefix")
