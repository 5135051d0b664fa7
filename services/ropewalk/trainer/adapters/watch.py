"""Looks at a group of workers from outside while it runs; acts on what `domain.hang` and `domain.straggler` decide.

It never asks a worker: the hosts read stamps and /proc. Of a hang it takes the stacks of all ranks and keeps them in
the object store, before the group is ended by whoever asked.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.errors import StorageError
from ropewalk.trainer.domain.hang import Hang, HangWatch
from ropewalk.trainer.domain.recovery import Symptom
from ropewalk.trainer.domain.sight import Sight
from ropewalk.trainer.domain.straggler import Straggler, StragglerWatch

logger = logging.getLogger(__name__)

_EVERY_S = 0.5
_HOST_S = 20.0  # and three looks in a row: a host that answered before and does not any more
_LOOKS = 3
_AT_ONCE = 16  # hosts that are asked for stacks together; each may take seconds


class RankSeen(Protocol):
    """A rank as its host sees it."""

    def sight(self) -> Sight | None:
        """What it does; None if it has not begun, or the host does not answer."""

    def stacks(self) -> str:
        """What each of its threads does, or why that cannot be said."""

    def machine_answers(self) -> bool:
        """Whether its machine is there, which says nothing of what runs on it. Takes seconds."""


@dataclass(kw_only=True)
class RankWatch:
    """Of one group. `longest_s` is how long it may do without a word what it never did before."""

    ranks: Sequence[RankSeen]
    longest_s: float
    batch_size: int
    on_slow: Callable[[Straggler], None]
    keep: Callable[[dict[int, str]], str]  # the stacks by rank; returns where they are
    clock: Callable[[], float] = time.monotonic
    hang: Hang | None = None
    stacks_uri: str = ""
    sights: tuple[Sight, ...] = ()
    _due: float = 0.0
    _seen_at: float = 0.0
    _misses: int = 0
    _hangs: HangWatch = field(init=False)
    _stragglers: StragglerWatch = field(init=False)

    def __post_init__(self) -> None:
        self._hangs = HangWatch(longest_s=self.longest_s)
        self._stragglers = StragglerWatch(batch_size=self.batch_size)

    def look(self) -> Sequence[Symptom]:
        """What is wrong; nothing as long as not all ranks have begun. Cheap to call often."""
        now = self.clock()
        if now < self._due or self.hang is not None:
            return ()
        self._due = now + _EVERY_S
        found = [rank.sight() for rank in self.ranks]
        seen = tuple(sight for sight in found if sight is not None)
        if len(seen) < len(found):
            return self._without_host(tuple(rank for rank, sight in enumerate(found) if sight is None), now)
        self.sights, self._seen_at, self._misses = seen, now, 0
        if slow := self._stragglers.look(seen, now):
            logger.warning("rank %d at %.0f %% of the speed of the others", slow.rank, 100 * slow.speed)
            self.on_slow(slow)
        hang = self._hangs.look(seen, now)
        return self._examined(hang) if hang is not None else ()

    def look_back(self) -> None:
        """Once the group has ended: the last words of each rank. Hosts that are lost leave what was seen before."""
        before = {sight.rank: sight for sight in self.sights}
        found = [rank.sight() or before.get(number) for number, rank in enumerate(self.ranks)]
        self.sights = tuple(sight for sight in found if sight is not None)

    def _without_host(self, ranks: tuple[int, ...], now: float) -> Sequence[Symptom]:
        """Some hosts say nothing: they have not begun, are stopped themselves, or their machines are gone."""
        self._misses += 1
        if not self.sights or self._misses < _LOOKS or now - self._seen_at < _HOST_S:
            return ()
        if gone := [rank for rank in ranks if not self.ranks[rank].machine_answers()]:
            text = "the machine of worker {} does not answer any more: it is lost or cut off"
            return [Symptom(kind="node_lost", text=text.format(rank), rank=rank) for rank in gone]
        last = self.sights[ranks[0]]
        return self._examined(Hang(ranks=ranks, step=last.step, phase=last.phase, what="has a host that is silent"))

    def _examined(self, hang: Hang) -> Sequence[Symptom]:
        """Ask all ranks what they do, keep it, and say who hangs."""
        with ThreadPoolExecutor(min(_AT_ONCE, len(self.ranks))) as pool:
            stacks = dict(enumerate(pool.map(lambda rank: rank.stacks(), self.ranks)))
        self.hang = hang.narrowed(stacks)
        logger.error("%s; the stacks follow", self.hang.detail)
        self.stacks_uri = self.keep(stacks)
        return (Symptom(kind="hang", text=self.hang.detail),)


def keep_stacks(store: StoreAddress, scratch: Path, key: str, stacks: dict[int, str]) -> str:
    """Put the stacks of all ranks under the key, a file each; returns the key, or nothing if that could not be done."""
    folder = scratch / key.replace("/", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for rank, text in stacks.items():
            (folder / f"rank-{rank}.txt").write_text(text)
        store.connect().publish(folder, key, {})
    except (OSError, StorageError) as error:
        logger.warning("the stacks of all ranks are not kept: %s", error)
        return ""
    return key
