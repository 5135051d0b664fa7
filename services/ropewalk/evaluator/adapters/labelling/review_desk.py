"""What the review page asks of the log, and what it says there: who a rater is, what is wanted, labels."""

import asyncio
import json
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold, once
from ropewalk.evaluator.adapters.labelling.wanted import WantedSheets, look_again_if_complete, wanted_now
from ropewalk.evaluator.domain.labelling.gold import gold_sheets
from ropewalk.evaluator.domain.labelling.queue import AskedSheets
from ropewalk.events.base import Message
from ropewalk.events.label import LabelGiven, LabelWithdrawn
from ropewalk.projections.labels import Labelled
from ropewalk.projections.raters import Invitations
from ropewalk.projections.task_sets import TaskSetStanding, standings
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.judges.rubric import RUBRIC, Criterion, RubricFile
from ropewalk.tasksets.shelf import DEFINITION, key_of

_FRESH_S = 2.0  # what is wanted is looked up again after this: a run that ended a moment ago harms nobody
_MOST_SETS = 100  # task sets whose sheets are kept in memory
_STORED_S = 10.0  # a label that is not in the log by then is said not to be, and a log that is silent to be away


@dataclass(frozen=True, kw_only=True)
class ReviewWork:
    """All that a page about a task set shows."""

    version: int
    wanted: AskedSheets
    said: Labelled
    criteria: Mapping[str, Mapping[str, Criterion]]


@dataclass(frozen=True)
class _Scores:
    """The log of labels, as a fold reads it."""

    bus: Bus

    async def end(self) -> int:
        return await self.bus.end(stream="SCORES")

    def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Stored[Message]]:
        return self.bus.read(subject_filter, stream="SCORES", after=after)


class ReviewDesk:
    """Everything follows from the log at each request, so that any number of evaluators may serve the page."""

    def __init__(self, bus: Bus, objects: ObjectStore) -> None:
        self._bus, self._objects, self._scores = bus, objects, _Scores(bus)
        self._invitations = RunningFold(defaultdict[str, Invitations](Invitations), _add, "evt.label.*.*.*")
        self._labels = RunningFold(defaultdict[str, Labelled](Labelled), _add, "log.label.*.*.*")
        self._rubrics: dict[tuple[str, int], Mapping[str, Criterion]] = {}  # of frozen versions: they stay
        self._wanted: OrderedDict[str, tuple[float, tuple[WantedSheets, ...]]] = OrderedDict()

    async def rater_of(self, task_set_id: str, secret: str) -> str:
        """Whose link it is now; empty: nobody's. Raises TimeoutError."""
        async with asyncio.timeout(_STORED_S):
            known = await self._invitations.now(self._bus)
        return known[task_set_id].rater_of(secret, time.time()) if task_set_id in known else ""

    async def work(self, task_set_id: str) -> ReviewWork:
        """As it stands now. Raises StorageError where the sheets cannot be read, and TimeoutError."""
        async with asyncio.timeout(_STORED_S):
            return await self._work(task_set_id)

    async def say(self, message: LabelGiven | LabelWithdrawn) -> None:
        """Put a label, or that it is taken back, into the log for good; the same place twice stores nothing twice.

        Raises TimeoutError where the bus does not take it in time: it is not known then whether it is stored.
        """
        rater = f"{message.task_set_id}/{message.rater}"
        async with asyncio.timeout(_STORED_S):
            await self._bus.publish(message, cause_id=rater, key=str(message.position))

    async def look_again(self, task_set_id: str) -> None:
        """Have the runs decided whose sheets are all labelled. Raises TimeoutError."""
        async with asyncio.timeout(_STORED_S):
            labels = (await self._labels.now(self._scores))[task_set_id]
            if any(not each.missing(labels) for each in await self._drawn(task_set_id)):
                await look_again_if_complete(self._bus, self._objects, task_set_id)

    async def _work(self, task_set_id: str) -> ReviewWork:
        labels, drawn = await self._labels.now(self._scores), await self._drawn(task_set_id)
        sheets = {sheet.sheet_id: sheet for each in drawn for sheet in each.sheets}
        raters_each: dict[str, int] = {}
        for each in drawn:
            for sheet in each.sheets:
                raters_each[sheet.sheet_id] = max(each.raters_each, raters_each.get(sheet.sheet_id, 0))
        version = max((each.version for each in drawn), default=1)
        known = {each: await self._criteria(task_set_id, each) for each in {version, *(each.version for each in drawn)}}
        criteria = {sheet.rubric: known[each.version] for each in drawn for sheet in each.sheets}
        asked = sorted({(sheet.scale, sheet.criterion) for sheet in sheets.values()})
        gold = tuple(gold_sheets(asked, known[version]))
        criteria |= {sheet.rubric: known[version] for sheet in gold}
        return ReviewWork(
            version=version,
            wanted=AskedSheets(sheets=tuple(sheets.values()), raters_each=raters_each, gold=gold),
            said=labels[task_set_id],
            criteria=criteria,
        )

    async def _drawn(self, task_set_id: str) -> tuple[WantedSheets, ...]:
        at, found = self._wanted.get(task_set_id, (-_FRESH_S, ()))
        if time.monotonic() - at >= _FRESH_S:
            found = await wanted_now(self._bus, self._objects, task_set_id)
            self._wanted[task_set_id] = time.monotonic(), found
            self._wanted.move_to_end(task_set_id)
            if len(self._wanted) > _MOST_SETS:
                self._wanted.popitem(last=False)
        return found

    async def _criteria(self, task_set_id: str, version: int) -> Mapping[str, Criterion]:
        """By which a frozen task set is judged; without them a sheet can still be graded."""
        if (task_set_id, version) not in self._rubrics:
            facts = [item.message async for item in once(self._bus.read(f"evt.task_set.*.*.{task_set_id}"))]
            content = standings(facts).get((task_set_id, version), TaskSetStanding()).frozen
            if not content:
                return {}
            self._rubrics[task_set_id, version] = await asyncio.to_thread(self._rubric, content)
        return self._rubrics[task_set_id, version]

    def _rubric(self, content: str) -> Mapping[str, Criterion]:
        folder = self._objects.fetch(key_of(content))
        if not (folder / RUBRIC).is_file():
            return {}
        named = json.loads((folder / DEFINITION).read_bytes()).get("criteria", ())
        rubric = RubricFile.model_validate_json((folder / RUBRIC).read_bytes())
        return {name: rubric.criteria[name] for name in named if name in rubric.criteria}


def _add(state: defaultdict[str, Invitations] | defaultdict[str, Labelled], item: Stored[Message]) -> None:
    state[item.message.entity].add(item.message)
