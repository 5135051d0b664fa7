"""API keys: only their hashes are kept, so looking one up takes as long for a wrong key as for a right one."""

import hashlib
import hmac
from dataclasses import dataclass

from ropewalk.serving.errors import ServingError

INTERNAL = "internal"  # id of the key of the other services


class KeyFileError(ServingError, ValueError):
    """A line of the keys file is not `<key id> <sha256>`."""


@dataclass(frozen=True)
class KeyRing:
    """Key ids by the SHA-256 (hex) of the key."""

    ids: dict[str, str]

    @classmethod
    def of(cls, keys: dict[str, str], file_text: str = "") -> "KeyRing":
        """From plain keys by id (empty ones are left out) and the text of a keys file. Raises KeyFileError."""
        ids = {_digest(key): key_id for key_id, key in keys.items() if key}
        for number, line in enumerate(file_text.splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or len(words[1]) != 64:
                raise KeyFileError(f"line {number} of the keys file is not `<key id> <sha256 of the key>`")
            ids[words[1].lower()] = words[0]
        return cls(ids)

    def key_id(self, authorization: str) -> str | None:
        """Who sends this `Authorization` header; None for nobody we know."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            return None
        digest = _digest(key.strip())
        known = self.ids.get(digest)
        # the dictionary compares hashes, which say nothing about the key; this settles it in constant time
        return known if known and any(hmac.compare_digest(digest, other) for other in self.ids) else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
