"""Task sets of a stack: put into the store, told to the evaluator, frozen. Their list is the projection `task_sets`."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import quoted
from ropewalk.events.task_set import FreezeTaskSet, RegisterTaskSet, TaskSetFrozen, TaskSetRegistered
from ropewalk.projections.fold import Json
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.shelf import SUITE, ReadTaskSet, read_task_set, shipped, store_task_set

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_ANSWER_S = 30.0
Known = Mapping[str, Json]  # the projection


def find_task_set(word: str) -> ReadTaskSet:
    """The task set of a YAML file, or the one of that name that ships. Raises TaskSetError, ClientError."""
    path = Path(word).expanduser()
    if not path.exists() and word in shipped():
        path = SUITE / f"{word}.yaml"
    if not path.is_file():
        raise ClientError(f"there is no file {quoted(word)}; these ship: {', '.join(shipped()) or 'none'}")
    return read_task_set(path)


async def add_task_set(client: "Client", known: Known, objects: ObjectStore, found: ReadTaskSet) -> bool:
    """Store and register a version; the same content again changes nothing. Whether it is new.

    Raises ClientError where another content is frozen under the same version, or nobody answers.
    """
    of = found.definition
    there = known.get(of.id, {"versions": {}})["versions"].get(str(of.version))
    if there is not None and there["content"] == found.content:
        return False
    if there is not None and there["frozen_at"]:
        raise ClientError(
            f"{of.full_name} is frozen with other data or another definition: give the file version {of.version + 1}"
        )
    with tempfile.TemporaryDirectory(prefix="task-set-") as place:
        await asyncio.to_thread(store_task_set, objects, found, Path(place, "made"))
    await client.ask_for(
        RegisterTaskSet(task_set_id=of.id, version=of.version, content=found.content),
        TaskSetRegistered,
        lambda fact: (fact.version, fact.content) == (of.version, found.content),
        within_s=_ANSWER_S,
        asked=f"the evaluator was asked to register {of.full_name}",
    )
    return True


async def freeze_task_set(client: "Client", known: Known, name: str) -> tuple[str, bool]:
    """Freeze a version (`copying@1`, or `copying` for the newest). Its full name, and whether it was not before."""
    task_set_id, version, facts = known_version(known, name)
    if not facts["frozen_at"]:
        await client.ask_for(
            FreezeTaskSet(task_set_id=task_set_id, version=version, content=facts["content"]),
            TaskSetFrozen,
            lambda fact: fact.version == version,
            within_s=_ANSWER_S,
            asked=f"the evaluator was asked to freeze {task_set_id}@{version}",
        )
    return f"{task_set_id}@{version}", not facts["frozen_at"]


def known_version(known: Known, name: str) -> tuple[str, int, Json]:
    """Id, version and facts of `copying@1`, or of the newest version of `copying`. Raises ClientError."""
    task_set_id, _, number = name.partition("@")
    versions = known.get(task_set_id, {"versions": {}})["versions"]
    number = number or max(versions, key=int, default="")
    if number not in versions:
        names = [f"{key}@{each}" for key in sorted(known) for each in known[key]["versions"]]
        raise ClientError(f"there is no task set {quoted(name)}; registered: {', '.join(names[-20:]) or 'none'}")
    return task_set_id, int(number), versions[number]
