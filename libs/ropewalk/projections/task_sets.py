"""Task sets: the versions of each, what is in them, and which of them are frozen.

The first TaskSetFrozen of a version counts, whatever was registered after it. `standings` is the same for those who
ask the log about one task set only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.task_set import TaskSetFrozen, TaskSetRegistered
from ropewalk.projections.fold import Fold, Json, Record, collect, collected, held, keep_first, log_time


def _version(record: Record, stored: Stored[TaskSetRegistered] | Stored[TaskSetFrozen]) -> Record:
    version: Record = record.setdefault(str(stored.message.version), {})
    return version


def _registered(record: Record, stored: Stored[TaskSetRegistered]) -> None:
    facts = stored.message.model_dump(mode="json", exclude={"run_id", "task_set_id", "version"})
    collect(_version(record, stored), "registered", stored, {**facts, "registered_at": log_time(stored.time)})


def _frozen(record: Record, stored: Stored[TaskSetFrozen]) -> None:
    frozen = {"content": stored.message.content, "frozen_at": log_time(stored.time)}
    keep_first(_version(record, stored), "frozen", stored, frozen)


def _view(_: str, record: Record) -> Json:
    views = {number: _version_view(version) for number, version in record.items()}
    return {"versions": {number: views[number] for number in sorted(views, key=int) if views[number]}}


def _version_view(version: Record) -> Json:
    """As it was frozen, else as it was registered last; nothing where what was frozen was never registered."""
    frozen = held(version, "frozen", {"content": "", "frozen_at": ""})
    facts = [each for _, each in collected(version, "registered") if frozen["content"] in ("", each["content"])]
    return {**facts[-1], "frozen_at": frozen["frozen_at"]} if facts else None


TASK_SETS = Fold(
    name="task_sets",
    version=1,
    key_of=attrgetter("task_set_id"),
    view=_view,
    steps={TaskSetRegistered: _registered, TaskSetFrozen: _frozen},
)


@dataclass(frozen=True)
class TaskSetStanding:
    """What a version is now: its newest content, and the one for good. Empty: none."""

    registered: str = ""
    frozen: str = ""


def standings(messages: Iterable[Message]) -> dict[tuple[str, int], TaskSetStanding]:
    """By task set and version, from messages in the order of the log."""
    found: dict[tuple[str, int], TaskSetStanding] = {}
    for message in messages:
        if isinstance(message, TaskSetRegistered | TaskSetFrozen):
            place = (message.task_set_id, message.version)
            before = found.get(place, TaskSetStanding())
            if isinstance(message, TaskSetFrozen):
                found[place] = TaskSetStanding(before.registered, before.frozen or message.content)
            else:
                found[place] = TaskSetStanding(message.content, before.frozen)
    return found
