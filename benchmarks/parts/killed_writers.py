"""Cases in which whoever writes, sets aside or deletes a checkpoint is killed at one boundary, in turn at each.

Locally a boundary is a system call. In a bucket it is a request: the writer ends right before it or right after it.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parts.damage_cases import Ground, Verdict, content
from parts.damages import meta_of, write_files
from parts.kill_at_syscall import killed_at

from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.objects import ObjectStore
from ropewalk.storage.remote import RemoteObjects
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints

remote: Any = importlib.import_module("ropewalk.storage.remote")
_NEXT = "runs/r/checkpoints/1-50"
_NEWEST = "runs/r/checkpoints/1-40"
Act = Callable[[ObjectStore], None]


class Writers:
    """The acts, each upon a fresh copy of a sound store."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.new = ground.root / "scratch" / "new"
        self.acts: dict[str, Act] = {
            "publish": self.publish,
            "set aside": lambda objects: objects.move(_NEWEST, "quarantine/checkpoints/r-1-40"),
            "delete": lambda objects: objects.delete("runs/r/checkpoints/1-10"),
        }
        whole = LocalObjects(ground.root / "whole")
        self.publish(whole)
        self.expected = content(whole.fetch(_NEXT))

    def publish(self, objects: ObjectStore) -> None:
        """Write the files of the next checkpoint and publish them, as a worker does."""
        shutil.rmtree(self.new, ignore_errors=True)
        write_files(self.new, "r", 50)
        objects.publish(self.new, _NEXT, meta_of("r", 50, self.ground.known["r-1-40"]))  # type: ignore[arg-type]

    def local(self, every: int = 1) -> Iterator[tuple[str, Verdict]]:
        """Every act killed at every system call, or at every so many."""
        for name, act in self.acts.items():
            number = 0
            while True:
                number += every
                shutil.rmtree(self.ground.root / "case", ignore_errors=True)
                shutil.copytree(self.ground.sound, self.ground.root / "case" / "objects")
                objects = LocalObjects(self.ground.root / "case" / "objects")
                if not killed_at(number, lambda act=act, objects=objects: act(objects)):  # type: ignore[misc]
                    break
                yield name, self.judge(f"{name} killed at system call {number}", name, objects)

    def bucket(self, make: Callable[[], Any]) -> Iterator[tuple[str, Verdict]]:
        """Every act cut before and after every request."""
        for name, act in self.acts.items():
            for after in (False, True):
                number = 0
                while True:
                    number += 1
                    bucket, cache = make(), self.ground.root / "cache"
                    shutil.rmtree(cache, ignore_errors=True)
                    upload(bucket, self.ground.sound)
                    objects = RemoteObjects(bucket, cache=cache)
                    if not _cut(number, after, lambda act=act, objects=objects: act(objects)):  # type: ignore[misc]
                        break
                    place = "after" if after else "before"
                    yield name, self.judge(f"{name} cut {place} request {number}", name, objects)

    def judge(self, label: str, name: str, objects: ObjectStore) -> Verdict:
        """Resume, publish again, resume again; nobody had announced the new checkpoint, everybody the others."""
        verdict, told = Verdict(), list[CheckpointQuarantined]()
        pristine = {**self.ground.pristine, 50: self.expected}
        try:
            for again in (False, True):
                if again:
                    self.publish(objects)
                gone = ("r-1-10",) if name == "delete" else ()
                checkpoints = RunCheckpoints(objects, "r", 2, self.ground.known.items(), gone)
                newest = checkpoints.newest_whole(told.append)
                least = 50 if again else 30 if name == "set aside" else 40
                if newest is None or newest.place.step < least:
                    verdict.lost.append(f"{label}: resumes from {newest}, not from {least}")
                    continue
                found = content(objects.fetch(newest.place.key))
                if found != pristine[newest.place.step]:
                    verdict.accepted.append(f"{label}: resumes from step {newest.place.step}")
                checkpoints.ancestry(newest, told.append)
                heard = {each.checkpoint_id for each in told}
                if name == "set aside" and newest.place.step == 30 and "r-1-40" not in heard:
                    verdict.silent.append(f"{label}: nobody was told of the checkpoint that is gone")
        except Exception as error:  # noqa: BLE001  whatever it is, the run would have been lost by it
            verdict.lost.append(f"{label}: {error!r}")
        return verdict


def upload(bucket: Any, folder: Path) -> None:
    """Make the bucket hold what the folder holds, and nothing else."""
    for page in remote.obstore.list(bucket):
        remote.obstore.delete(bucket, [item["path"] for item in page])
    for path in folder.rglob("*"):
        if path.is_file():
            remote.obstore.put(bucket, path.relative_to(folder).as_posix(), path)


class Cut(BaseException):
    """The process is gone."""


@contextmanager
def _requests(number: int, after: bool) -> Iterator[list[int]]:
    """Raise Cut at a request; gives a list whose only entry is the number of requests so far."""
    sound, count = remote.obstore, [0]

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked = getattr(sound, name)

            def ask(*arguments: Any, **options: Any) -> Any:
                count[0] += 1
                if count[0] == number and not after:
                    raise Cut
                try:
                    return asked(*arguments, **options)
                finally:
                    if count[0] == number:
                        raise Cut  # in place of the answer, or of the error

            return ask

    remote.obstore = Counting()
    try:
        yield count
    finally:
        remote.obstore = sound


def _cut(number: int, after: bool, work: Callable[[], None]) -> bool:
    with _requests(number, after):
        try:
            work()
        except Cut:
            return True
    return False
