"""Whether an object store answers, asked with little patience: the store itself waits minutes for one that is away."""

import os
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ropewalk.storage.connect import StoreAddress

ROOM_BYTES = 8 * 1024**2  # with less than this a disk counts as full
_ROOM_FILES = 100
_PATIENCE_S = 3


def has_room(folder: Path) -> bool:
    """Whether files can be written there: bytes and, where the file system counts them, files are left."""
    stats = os.statvfs(folder)
    files_left = stats.f_favail if stats.f_files else _ROOM_FILES + 1
    return stats.f_bavail * stats.f_frsize > ROOM_BYTES and files_left > _ROOM_FILES


def free_bytes(address: StoreAddress) -> int | None:
    """What a store has left on its disk, whose folder need not be there yet; None where it is a bucket."""
    parts = urlsplit(address.url)
    folder = Path(unquote(parts.path))
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    if parts.scheme != "file" or there is None:
        return None
    stats = os.statvfs(there)
    return stats.f_bavail * stats.f_frsize


def why_unwell(address: StoreAddress, *, write: bool = True) -> str:
    """What ails a store, in its own words too; empty if it is well. `write`: also store and remove a small object."""
    parts = urlsplit(address.url)
    if parts.scheme != "file":
        return _of_bucket(address, write=write)
    folder = Path(unquote(parts.path))
    try:
        return "" if has_room(folder) else f"the disk of the objects in {folder} is full"
    except FileNotFoundError:  # made with the first object
        return ""
    except OSError as error:
        return f"the objects in {folder} cannot be used: {error.strerror}"


def _of_bucket(address: StoreAddress, *, write: bool) -> str:
    import obstore  # slow to import, and not needed for a folder
    from obstore.exceptions import BaseError

    from ropewalk.storage.remote import open_bucket, what_was_said

    bucket = open_bucket(address.url, endpoint=address.endpoint, patience_s=0, timeout_s=_PATIENCE_S)
    place = f"the object store {address.url}" + f" at {address.endpoint}" * bool(address.endpoint)
    name, body = f".probe/{uuid.uuid4().hex}", os.urandom(16)
    does = "answer"
    try:
        obstore.list_with_delimiter(bucket, ".probe")
        if write:
            does = "take a small object and give it back"
            obstore.put(bucket, name, body)
            same = bytes(obstore.get(bucket, name).bytes()) == body
            obstore.delete(bucket, name)
            return "" if same else f"{place} gives back other bytes than it was given"
    except (BaseError, OSError) as error:
        return f"{place} does not {does}: {what_was_said(error)}"
    return ""
