"""The file systems that a stack writes to, and whether anything can be written there."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ropewalk.local.layout import Layout
from ropewalk.status.problems import EVENT_LOG
from ropewalk.status.seen import Disk
from ropewalk.storage.probing import has_room

_SLACK_BYTES = 2_000_000_000  # what objects, logs and tables may need soon


def disks_of(layout: Layout, objects_url: str, log_may_grow_by: int) -> Iterator[Disk]:
    """Every file system once, named after the first that lies on it. Objects may lie elsewhere, or in no folder."""
    seen: set[int] = set()
    objects = Path(unquote(urlsplit(objects_url).path)) if objects_url.startswith("file:") else layout.state_dir
    for holds, folder, wanted in (
        (EVENT_LOG, layout.nats_store, log_may_grow_by),
        ("the objects", objects, _SLACK_BYTES),
        ("the state folder", layout.state_dir, _SLACK_BYTES),
        ("Ray's files", layout.ray_temp, _SLACK_BYTES),
    ):
        device = folder.stat().st_dev if folder.exists() else 0
        if not device or device in seen:
            continue
        seen.add(device)
        stats = os.statvfs(folder)
        yield Disk(
            holds=holds,
            folder=str(folder),
            mounted_at=str(_mount_point(folder)),
            total=stats.f_blocks * stats.f_frsize,
            free=stats.f_bavail * stats.f_frsize,
            full=not has_room(folder),
            still_wanted=wanted,
        )


def _mount_point(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_mount())
