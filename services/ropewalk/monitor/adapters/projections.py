"""Keeps every projection beside the log and answers questions about them.

The log is read on a blocking connection in a thread, a slice at a time, so a long log never stops the event loop. A
snapshot lets a restart continue where the last one was; it is only a shortcut: the log decides, and a snapshot that
does not fit it, or is broken, is dropped.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from faststream import Path as FromSubject

from ropewalk.bus.bulk import address_of, stream_ends
from ropewalk.bus.errors import BusError
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Wire, WireError
from ropewalk.projections.answering import Answers, Question, QuestionError
from ropewalk.projections.projector import Projector, SnapshotError
from ropewalk.projections.replay import Until, advance, fits
from ropewalk.storage.manifest import sync

logger = logging.getLogger(__name__)

_SLICE = 2_000  # messages folded in before answers get their turn
_POLL_S = 1.0  # between two looks at the log; a question looks by itself
_TIMEOUT_S = 5.0  # for the bus to answer
_MIRROR_PATIENCE_S = 1.0  # for AUDIT to have what CONTROL has; then the answer is a little old
_MIRROR_TICK_S = 0.005


class LiveProjector:
    """The projections of this moment. `run` ends only by cancellation."""

    def __init__(self, settings: NatsSettings, folder: Path, *, snapshot_every_s: float = 30.0) -> None:
        self._address = address_of(settings)
        self._file = folder / "snapshot.json"
        self._snapshot_every_s = snapshot_every_s
        self._turn = asyncio.Lock()  # one at a time folds or answers
        self._mutex = threading.Lock()  # a thread outlives the cancelled task that waits for it
        self._wire: Wire | None = None
        self._answers = Answers(Projector())
        self._saved = 0  # the sequence up to which the snapshot on disk goes
        self._ready = False  # whether the end of the log was reached once

    @property
    def projector(self) -> Projector:
        """What it knows."""
        return self._answers.projector

    async def run(self) -> None:
        """Continue from the snapshot, then follow the log."""
        await asyncio.to_thread(self._load)
        saved_at = asyncio.get_running_loop().time()
        try:
            while True:
                while await self._look(self._advance):  # slice by slice, so that answers come in between
                    pass
                now = asyncio.get_running_loop().time()
                if now - saved_at >= self._snapshot_every_s:
                    await asyncio.to_thread(self._save)
                    saved_at = now
                await asyncio.sleep(_POLL_S)
        finally:
            self._save()

    async def answer(self, question: Question, name: Annotated[str, FromSubject()]) -> bytes:
        """What the log says by now: `hashes`, `run_list`, `alarm_list`, or a piece of the projection of that name.

        The log is looked at first, so that whoever just wrote something sees it. Raises QuestionError.
        """
        if not self._ready:
            raise QuestionError("the projector has not read the whole log yet; ask again in a moment")
        await self._look(self._follow_to_the_end)
        async with self._turn:
            return self._answers.answer(name, question)

    async def _look(self, step: Callable[[], bool]) -> bool:
        """Take a step in a thread, one at a time; whether there may be more to read."""
        async with self._turn:
            try:
                more = await asyncio.to_thread(step)
            except (WireError, BusError) as error:
                logger.warning("projections wait for the log: %s", error)
                self._close()
                return False
        self._ready = self._ready or not more
        return more

    def _advance(self) -> bool:
        """Fold in one slice; whether there may be more."""
        with self._mutex:
            return advance(self.projector, self._open(), Until(num_messages=_SLICE)).num_read == _SLICE

    def _follow_to_the_end(self) -> bool:
        """Fold in what CONTROL has now. AUDIT copies it within milliseconds, but later if the disk is busy."""
        with self._mutex:
            wire = self._open()
            end, deadline = stream_ends(wire, "CONTROL").last, time.monotonic() + _MIRROR_PATIENCE_S
            while self.projector.sequence < end and time.monotonic() < deadline:
                if not advance(self.projector, wire, Until(num_messages=_SLICE)).num_read:
                    time.sleep(_MIRROR_TICK_S)
            return False

    def _open(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(self._address, _TIMEOUT_S)
            if not fits(self.projector, self._wire):
                logger.warning("this log is not the one of the snapshot: projecting it from its beginning")
                self._answers = Answers(Projector())
        return self._wire

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _load(self) -> None:
        try:
            self._answers = Answers(Projector.restore(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except (SnapshotError, OSError) as error:
            logger.warning("%s: projecting the log from its beginning", error)
            return
        self._saved = self.projector.sequence
        logger.info("projections continue after message %d", self._saved)

    def _save(self) -> None:
        """Write the snapshot. A full disk only makes the next start slower."""
        with self._mutex:
            if self.projector.sequence == self._saved:
                return
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._file.with_suffix(".tmp")  # the new content or the old, whatever happens
                temporary.write_bytes(self.projector.save())
                sync(temporary)
                temporary.replace(self._file)
            except OSError as error:
                logger.warning("the snapshot of the projections cannot be written: %s", error)
            else:
                self._saved = self.projector.sequence
