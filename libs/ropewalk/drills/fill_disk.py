"""The broker's disk is full for a while. Only on a small file system made for it: no disk is filled by surprise."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from ropewalk.bus.codec import Stored
from ropewalk.drills.contained import Contained
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.prober import Prober
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.stackview import BROKER
from ropewalk.drills.tasks import end
from ropewalk.events.base import Message
from ropewalk.local.layout import Layout
from ropewalk.local.stack import measure

_MOST_BYTES = 1024**3
_MIB = 1024**2
_HOLD_S = 15.0
_STATUS_WITHIN_S = 10.0
_NUM_PROBES = 10
_FILLER = "drill-filler"
_FULL = "disk_full"


async def prepare(ground: Ground) -> Target:
    """The broker's store on a file system of at most 1 GiB."""
    if isinstance(ground.crew, Contained):
        raise NotPreparedError(
            "the volumes of containers lie on docker's own disk, which this drill does not fill: "
            "it plays on an embedded stack"
        )
    store = ground.layout.nats_store
    total = shutil.disk_usage(store).total
    if total > _MOST_BYTES:
        raise NotPreparedError(
            f"the broker's store {store} lies on a file system of {total / 1024**3:.0f} GiB, which this drill does not"
            f" fill: put a new stack's store on a small one first (`ropewalk down`, then"
            f" `sudo mount -t tmpfs -o size=256m,mode=0777 tmpfs {store}`, then `ropewalk up`)"
        )
    running = ground.crew.instance(BROKER)
    return Target(description=f"file system of {store}, {total / _MIB:.0f} MiB", service=BROKER, running=running)


async def play(scene: Scene) -> Observed:
    """Fill it, wait, make room."""
    loop, patience_s = asyncio.get_running_loop(), scene.patience_s
    async with Prober(scene.ground.bus, scene.mark, scene.drill_id) as prober:
        await prober.until(_NUM_PROBES, patience_s)
        fault_at, filled_at = await scene.ground.now(), loop.time()
        async with full(scene.ground.layout.nats_store):
            told_s = await _told(scene.ground.layout, patience_s)
            refused = await prober.refused(patience_s)
            await asyncio.sleep(max(0.0, (scene.ground.options.hold_s or _HOLD_S) - (loop.time() - filled_at)))
            under_way = prober.number
        room_at = await scene.ground.now()
        accepts = await prober.until(under_way + _NUM_PROBES, patience_s)
    probes = await prober.verdict(under_way)
    first = probes.first
    return Observed(
        detect_s=told_s,
        recover_s=(first.time - fault_at).total_seconds() if accepts and first else None,
        lost=len(probes.missing),
        lost_unit="messages",
        doubled=probes.doubled,
        checks=(
            check("the broker refused", refused, "a message was not acknowledged while there was no room"),
            check(
                "the status says so",
                told_s is not None and told_s <= _STATUS_WITHIN_S,
                "`ropewalk status` did not name the full disk" if told_s is None else f"after {told_s:.1f} s",
            ),
            check("accepts again", accepts, _after_room(first, room_at)),
        ),
    )


def _after_room(first: Stored[Message] | None, room_at: datetime) -> str:
    if first is None:
        return "no message was acknowledged after there was room"
    return f"{(first.time - room_at).total_seconds():.1f} s after there was room again"


@contextlib.asynccontextmanager
async def full(folder: Path) -> AsyncIterator[None]:
    """Not a byte is free while inside, also of what others give back."""
    filler = folder / _FILLER
    filling = asyncio.create_task(_keep_filling(filler))
    try:
        yield
    finally:
        await end(filling)
        filler.unlink(missing_ok=True)


async def _keep_filling(filler: Path) -> None:
    while True:
        # Large pieces first, then down to the last byte: a broker can still write into a gap of one block.
        for size in (_MIB, 4096, 1):
            _append(filler, size)
        await asyncio.sleep(0.2)


def _append(filler: Path, size: int) -> None:
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(bytes(size)) == size:
            # Without this the file system may promise room that it does not have.
            os.fsync(file.fileno())


async def _told(layout: Layout, patience_s: float) -> float | None:
    """Seconds until the status of the stack names the full disk."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < min(patience_s, 2 * _STATUS_WITHIN_S):
        # `measure` blocks; the probes must go on meanwhile.
        status = await asyncio.to_thread(measure, layout, 0.05)
        if any(problem.kind == _FULL for problem in status.problems):
            return loop.time() - began
        await asyncio.sleep(0.2)
    return None
