"""The keys of the bus's users: one file with a seed per user, made at the first start, for its owner only.

The server is told the public halves; a seed never leaves its file.
"""

import os
from pathlib import Path

import nkeys

from ropewalk.local.credentials import write_private
from ropewalk.local.errors import LocalError

_SEED_BYTES = 32


class SeedFileError(LocalError):
    """A file does not hold the seed of a user."""


def seed_file(folder: Path, user: str) -> Path:
    """Where the seed of a user lies."""
    return folder / f"{user}.seed"


def ensure_keys(folder: Path, users: tuple[str, ...]) -> dict[str, str]:
    """Make the keys that are missing. Returns the public key of every user. Raises OSError, SeedFileError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for user in users:
        if not seed_file(folder, user).exists():
            replace_key(folder, user)
    return {user: public_key(seed_file(folder, user)) for user in users}


def replace_key(folder: Path, user: str) -> str:
    """Give a user a new key; the old one is gone. Returns the public half. Raises OSError."""
    seed = nkeys.encode_seed(os.urandom(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)
    write_private(seed_file(folder, user), seed + b"\n")
    return public_key(seed_file(folder, user))


def export_key(folder: Path, user: str, file: Path) -> None:
    """Copy a seed to a new file, for its owner only. Raises SeedFileError if the file exists, OSError."""
    _write_new(file, seed_file(folder, user).read_bytes())


def create_key(file: Path) -> str:
    """A new key in a new file, for its owner only. Returns the public half. Raises SeedFileError, OSError."""
    _write_new(file, bytes(nkeys.encode_seed(os.urandom(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)) + b"\n")
    return public_key(file)


def _write_new(file: Path, seed: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SeedFileError(f"{file} exists: choose a file that does not, no seed is written over") from None
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(seed)


def public_key(path: Path) -> str:
    """The public half of a seed. Raises OSError, SeedFileError."""
    try:
        key: str = nkeys.from_seed(bytearray(path.read_bytes().strip())).public_key.decode()
    except (nkeys.NkeysError, ValueError) as error:
        raise SeedFileError(f"{path} holds no seed ({type(error).__name__}): remove it, a new one is made") from None
    return key
