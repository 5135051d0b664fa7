"""Kills workers with SIGKILL at chosen moments of their work, from a thread that watches their stamps.

Where a kill really struck is read afterwards: the stamp of a dead process does not change any more, and a checkpoint
whose writer died leaves its temporary folder behind.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, get_args

from ropewalk.trainer.adapters.stamps import Stamp, read_stamp

Aim = Literal["anywhere", "forward", "save", "publish", "load"]
AIMS: tuple[Aim, ...] = get_args(Aim)
_LOOK_S = 0.0003
_JITTER_S: dict[Aim, float] = {"anywhere": 0.3, "forward": 0.03, "save": 0.002, "publish": 0.015, "load": 0.12}
_GIVE_UP_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One kill. `where` is what the worker did when it died, `server` whether its fork server was killed with it."""

    aim: Aim
    where: str
    rank: int
    step: int
    server: bool


@dataclass(kw_only=True)
class Striker:
    """Kills the workers of one training, one after the other. `frontier` says the furthest step that was reported.

    A group that dies three times in a row without a new step is given up, so every strike but those at a load waits
    for one. Use as a context manager around the training.
    """

    scratch: Path
    objects: Path
    num_ranks: int
    checkpoint_every: int
    aims: Sequence[Aim]
    random: Random
    frontier: Callable[[], int]
    servers: float = 0.0  # the share of strikes that hit the fork server
    strikes: list[Strike] = field(default_factory=list)
    _killed: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Striker":
        self._thread = threading.Thread(target=self._run, name="striker", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        past = -1
        for aim in self.aims:
            wanted = -1 if aim == "load" else past + self.random.randint(1, 2 * self.checkpoint_every)
            if not self._until(lambda wanted=wanted: self.frontier() >= wanted):  # type: ignore[misc]
                return
            self._strike(aim, 0 if aim == "publish" else self.random.randrange(self.num_ranks))
            past = self.frontier()

    def _strike(self, aim: Aim, rank: int) -> None:
        before = self._drafts()
        if not self._until(lambda: self._is_time(aim, rank, before)):
            return
        time.sleep(self.random.uniform(0.0, _JITTER_S[aim]))
        stamp = self._stamp(rank)
        if stamp is None or self._over.is_set():
            return
        before = self._drafts() if aim == "anywhere" else before
        server = self.random.random() < self.servers
        self._kill(stamp.pid, server=server)
        self._killed.add(stamp.pid)
        last = self._stamp(rank, dead=stamp.pid) or stamp
        self.strikes.append(
            Strike(aim=aim, where=self._where(last, rank, before), rank=rank, step=last.step, server=server)
        )

    def _kill(self, pid: int, *, server: bool) -> None:
        victim = pid
        with suppress(OSError):
            if server:
                victim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            assert victim != os.getpid(), "a fork server has it"
            os.kill(victim, signal.SIGKILL)
        while _lives(pid) and not self._over.is_set():
            time.sleep(_LOOK_S)

    def _is_time(self, aim: Aim, rank: int, before: set[Path]) -> bool:
        stamp = self._stamp(rank)
        if stamp is None:
            return False
        match aim:
            case "forward":
                return stamp.phase in ("data", "step")
            case "save":
                return stamp.phase == "save" and (stamp.step + 1) % self.checkpoint_every == 0
            case "publish":
                return bool(self._drafts() - before)
            case "load":
                return stamp.phase in ("start", "load")
        return True

    def _where(self, stamp: Stamp, rank: int, before: set[Path]) -> str:
        if rank == 0 and self._drafts() - before:
            return "publish"
        if stamp.phase in ("start", "load"):
            return "load"
        is_copying = stamp.phase == "save" and (stamp.step + 1) % self.checkpoint_every == 0
        return "save" if is_copying else "forward" if stamp.phase in ("data", "step") else "between"

    def _stamp(self, rank: int, *, dead: int = 0) -> Stamp | None:
        """Of a worker that lives, or of the one with the number `dead` that just died."""
        for file in self.scratch.glob(f"rank-*/stamp-{rank}"):
            stamp = read_stamp(file.parent, rank)
            if stamp is None or (dead and stamp.pid != dead):
                continue
            if dead or (stamp.pid not in self._killed and _lives(stamp.pid)):
                return stamp
        return None

    def _drafts(self) -> set[Path]:
        """Folders of checkpoints that are being written or sealed."""
        return {*self.scratch.glob("checkpoint-*"), *self.objects.glob(".incoming/*")}

    def _until(self, is_true: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _GIVE_UP_S
        while not self._over.is_set() and time.monotonic() < deadline:
            if is_true():
                return True
            time.sleep(_LOOK_S)
        return False


def aims_of(num_strikes: int, random: Random) -> list[Aim]:
    """In no order; no load twice in a row, since nothing is loaded anew before something else was struck."""
    aims: list[Aim] = []
    while len(aims) < num_strikes:
        aim = random.choice(AIMS)
        if aim != "load" or aims[-1:] != ["load"]:
            aims.append(aim)
    return aims


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False
