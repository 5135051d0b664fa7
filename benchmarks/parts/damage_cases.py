"""One case of damage: break a store, resume, look over the rest as the scrub does, and judge what came of it."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
from parts import damages
from parts.damages import STEPS, Site

from ropewalk.checkpoint_manager.adapters.checkpoints import Broken, inspect, set_aside
from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import MANIFEST
from ropewalk.storage.objects import ObjectStore
from ropewalk.storage.remote import RemoteObjects
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints

NOBODY = 65534  # a user whom rights mean something to
Harm = Callable[[Site], None]


@dataclass(frozen=True)
class Case:
    """`steps` are damaged; the log announced all but `silent`."""

    name: str
    harm: Harm
    steps: tuple[int, ...]
    seed: int
    silent: int = 0
    local_only: bool = False


@dataclass
class Verdict:
    """What went wrong; nothing if all is well."""

    accepted: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


def cases(seeds: int, silent_seeds: int) -> Iterator[Case]:
    """Every kind at the newest, the one before, the oldest, the two newest, and at a newest that nobody announced."""
    for seed in range(seeds):
        for steps in ((40,), (30,), (10,), (40, 30)):
            for name, harm, local in _harms():
                yield Case(name, harm, steps, seed, local_only=local)
    for seed in range(silent_seeds):
        for name, harm, local in _harms(without=damages.NEEDS_LOG):
            yield Case(name, harm, (40,), seed, silent=40, local_only=local)


def _harms(without: tuple[object, ...] = ()) -> Iterator[tuple[str, Harm, bool]]:
    for by_file in damages.BY_FILE:
        for file in damages.FILES:
            forges_nothing = by_file in damages.FORGERIES and file == MANIFEST
            if by_file not in without and not forges_nothing:
                harm = lambda site, by_file=by_file, file=file: by_file(site, file)  # noqa: E731
                yield f"{by_file.__name__} {file}", harm, by_file in damages.ONLY_LOCAL
    for by_folder in damages.BY_FOLDER:
        if by_folder not in without:
            yield by_folder.__name__, by_folder, by_folder in damages.ONLY_LOCAL


class Ground:
    """A sound store to copy from, and the judge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sound = root / "sound" / "objects"
        self.known = damages.build(self.sound)
        self.pristine = {step: content(self.sound / f"runs/r/checkpoints/1-{step}") for step in STEPS}
        for path in (root, *root.rglob("*")) if os.geteuid() == 0 else ():
            os.chown(path, NOBODY, NOBODY)

    def break_copy(self, case: Case) -> Path:
        """A damaged copy of the store as a folder."""
        place = self.root / "case"
        shutil.copytree(self.sound, place / "objects")
        for step in case.steps:
            case.harm(Site(place / "objects", step, random.Random(f"{case.name}/{case.seed}/{step}")))
        return place / "objects"

    def clear(self) -> None:
        """Remove what the case before left."""
        shutil.rmtree(self.root / "case", ignore_errors=True)

    def run_local(self, case: Case) -> Verdict:
        """As an ordinary user, for root may read everything."""
        self.clear()
        if os.geteuid() != 0:
            return self.judge(case, LocalObjects(self.break_copy(case)))
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            return self.judge(case, LocalObjects(self.break_copy(case)))
        finally:
            os.seteuid(0)
            os.setegid(0)

    def run_bucket(self, case: Case, bucket: Any, warm: bool) -> Verdict:
        """With a cache that is empty, or has all of it as it was before the damage."""
        cache = self.root / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        if warm:
            shutil.copytree(self.sound, cache)
        self.clear()
        folder = self.break_copy(case)
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for page in obstore.list(bucket):
            obstore.delete(bucket, [item["path"] for item in page])
        for name in names:
            obstore.put(bucket, name, folder / name)
        return self.judge(case, RemoteObjects(bucket, cache=cache))

    def judge(self, case: Case, objects: ObjectStore) -> Verdict:
        """Resume, then scrub; compare with what was sound."""
        verdict, told = Verdict(), list[CheckpointQuarantined]()
        log = {name: sha256 for name, sha256 in self.known.items() if name != f"r-1-{case.silent}"}
        label = f"{case.name} at {case.steps}, seed {case.seed}, silent {case.silent}"
        try:
            self._resume(case, objects, log, told, verdict, label)
        except Exception as error:  # noqa: BLE001  whatever it is, the run would have been lost by it
            verdict.lost.append(f"{label}: {error!r}")
        heard = {event.checkpoint_id for event in told}
        for name, sha256 in log.items():
            step = int(name.rpartition("-")[2])
            found = inspect(objects, f"runs/r/checkpoints/1-{step}", sha256) if name not in heard else None
            if isinstance(found, Broken):
                set_aside(objects, f"runs/r/checkpoints/1-{step}", name, found)
                heard.add(name)
        expected = {f"r-1-{step}" for step in self.harmed(case)}
        if heard != expected:
            verdict.silent.append(f"{label}: told of {sorted(heard)}, not of {sorted(expected)}")
        return verdict

    def harmed(self, case: Case) -> set[int]:
        """The steps whose checkpoint is not what it was."""
        others = {30} if case.name == "swap_two" and case.steps == (40,) else set()
        if case.name == "swap_two":
            others = {step - 10 if step > STEPS[0] else STEPS[1] for step in case.steps}
        return {*case.steps, *others} if case.steps != (40, 30) or case.name != "swap_two" else {40, 30, 20}

    def _resume(
        self,
        case: Case,
        objects: ObjectStore,
        log: dict[str, str],
        told: list[CheckpointQuarantined],
        verdict: Verdict,
        label: str,
    ) -> None:
        checkpoints = RunCheckpoints(objects, "r", 2, log.items())
        newest = checkpoints.newest_whole(told.append)
        best = max(step for step in STEPS if step not in self.harmed(case))
        if newest is None or newest.place.step < best:
            verdict.lost.append(f"{label}: resumes from {newest}, not from step {best}")
            return
        found = content(objects.fetch(newest.place.key))
        if found != self.pristine[newest.place.step]:
            verdict.accepted.append(f"{label}: resumes from step {newest.place.step}")
        for written in checkpoints.ancestry(newest, told.append):
            if self.known[written.saved.checkpoint_id] != written.saved.manifest_sha256:
                verdict.accepted.append(f"{label}: {written.saved.checkpoint_id} is announced as an ancestor")


def content(folder: Path) -> dict[str, bytes]:
    """What a loader would see."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
