"""Which answers people are to label now, and another look at a run once they have."""

import asyncio
import math
from dataclasses import dataclass

from ropewalk.bus.bus import Bus
from ropewalk.bus.once import once
from ropewalk.evaluator.adapters.labelling.kept import SHEETS
from ropewalk.evaluator.domain.labelling.sheets import Sheet, loaded
from ropewalk.events.evaluation import GateDecided, JudgeAgain
from ropewalk.events.label import LabelsWanted
from ropewalk.events.run import RunEnding
from ropewalk.projections.labels import Labelled
from ropewalk.storage.objects import ObjectStore


@dataclass(frozen=True, kw_only=True)
class WantedSheets:
    """All that was drawn for the decision of one run, labelled or not; `raters_each` people are to label each."""

    run_id: str
    checkpoint_id: str
    version: int
    look: int
    raters_each: int
    sheets: tuple[Sheet, ...]

    def missing(self, labels: Labelled) -> tuple[Sheet, ...]:
        """The sheets of which too few people have said anything; that it cannot be judged is something."""
        said = labels.raters()
        return tuple(each for each in self.sheets if len(said.get(each.sheet_id, ())) < self.raters_each)


async def wanted_now(bus: Bus, objects: ObjectStore, task_set_id: str) -> tuple[WantedSheets, ...]:
    """What the deferred decisions of runs wait for, by task set. Raises StorageError where sheets are lost."""
    newest: dict[str, LabelsWanted] = {}
    async for item in once(bus.read(f"{LabelsWanted.subject_prefix()}.{task_set_id}")):
        if isinstance(item.message, LabelsWanted):
            newest[item.message.run_id] = item.message
    found = []
    for wanted in newest.values():
        decided = await bus.last(GateDecided, wanted.run_id)
        # a look that wanted nothing more of the task set said nothing about it
        if decided is None or not decided.is_deferred or decided.look != wanted.look:
            continue
        if not await has_ended(bus, wanted.run_id):
            body = await asyncio.to_thread(lambda key: (objects.fetch(key) / SHEETS).read_bytes(), wanted.sheets)
            found.append(
                WantedSheets(
                    run_id=wanted.run_id,
                    checkpoint_id=wanted.checkpoint_id,
                    version=wanted.version,
                    look=wanted.look,
                    raters_each=wanted.raters_each,
                    sheets=loaded(body),
                )
            )
    return tuple(found)


async def labels_of(bus: Bus, task_set_id: str, until: float = math.inf) -> tuple[Labelled, int]:
    """What raters said of the answers to a task set up to a sequence of the log, and that of the last such word."""
    found, sequence = Labelled(), 0
    async for item in once(bus.read(f"log.label.*.*.{task_set_id}", stream="SCORES")):
        if item.sequence <= until:
            found.add(item.message)
            sequence = item.sequence
    return found, sequence


async def look_again_if_complete(bus: Bus, objects: ObjectStore, task_set_id: str) -> None:
    """Ask for another look at each run whose sheets are all labelled; asked twice it is the same request."""
    labels, _ = await labels_of(bus, task_set_id)
    for each in await wanted_now(bus, objects, task_set_id):
        if not each.missing(labels):
            request = JudgeAgain(run_id=each.run_id)
            await bus.publish(request, cause_id=f"labels/{each.checkpoint_id}", key=f"{task_set_id}/{each.look}")


async def has_ended(bus: Bus, run_id: str) -> bool:
    """Whether nothing is decided about a run any more."""
    ending, _ = await bus.read_snapshot(RunEnding, f"{RunEnding.subject_prefix()}.{run_id}")
    return ending is not None
