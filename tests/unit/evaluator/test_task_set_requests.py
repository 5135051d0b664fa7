"""A version of a task set is registered when it is sound, and frozen once."""

import threading
from pathlib import Path

import pytest
from parts.submissions import Past
from parts.task_set_files import write_task_set

from ropewalk.delivery.outcome import Done, Reject
from ropewalk.evaluator.handlers import freeze_task_set, register_task_set
from ropewalk.events.task_set import FreezeTaskSet, RegisterTaskSet, TaskSetFrozen, TaskSetRegistered
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets import shelf
from ropewalk.tasksets.shelf import ReadTaskSet, read_task_set, store_task_set


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "store")


@pytest.fixture
def found(tmp_path: Path, objects: LocalObjects) -> ReadTaskSet:
    task_set = read_task_set(write_task_set(tmp_path / "made"))
    store_task_set(objects, task_set, tmp_path / "scratch")
    return task_set


def asked(found: ReadTaskSet, version: int = 1) -> RegisterTaskSet:
    return RegisterTaskSet(task_set_id="counting", version=version, content=found.content)


def registered(found: ReadTaskSet) -> TaskSetRegistered:
    return TaskSetRegistered(**found.facts())


def frozen(content: str) -> TaskSetFrozen:
    return TaskSetFrozen(task_set_id="counting", version=1, content=content)


async def test_what_lies_in_the_store_is_registered_once(found: ReadTaskSet, objects: LocalObjects) -> None:
    outcome = await register_task_set(asked(found), Past(), objects)
    assert outcome == Done((registered(found),))
    assert await register_task_set(asked(found), Past(registered(found)), objects) == Done()


async def test_other_requests_go_on_while_items_are_checked(
    found: ReadTaskSet, objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []

    def read(folder: Path) -> ReadTaskSet:
        readers.append(threading.current_thread())
        return found

    monkeypatch.setattr(shelf, "stored_task_set", read)
    assert isinstance(await register_task_set(asked(found), Past(), objects), Done)
    assert len(readers) == 1
    assert readers[0] is not threading.current_thread()


async def test_another_content_may_follow_until_the_version_is_frozen(
    tmp_path: Path, found: ReadTaskSet, objects: LocalObjects
) -> None:
    before = registered(found).model_copy(update={"content": "0" * 64})
    assert isinstance(await register_task_set(asked(found), Past(before), objects), Done)
    outcome = await register_task_set(asked(found), Past(before, frozen("0" * 64)), objects)
    assert outcome == Reject("counting@1 is frozen with another content: give it another version")


async def test_what_is_not_what_was_asked_is_refused(found: ReadTaskSet, objects: LocalObjects) -> None:
    nothing = RegisterTaskSet(task_set_id="counting", version=1, content="f" * 64)
    for request, why in ((nothing, "cannot be registered"), (asked(found, 2), "counting@1 lies under its content")):
        outcome = await register_task_set(request, Past(), objects)
        assert isinstance(outcome, Reject)
        assert why in outcome.reason


async def test_a_version_is_frozen_as_it_was_registered_last(found: ReadTaskSet) -> None:
    request = FreezeTaskSet(task_set_id="counting", version=1, content=found.content)
    assert isinstance(await freeze_task_set(request, Past()), Reject)
    assert await freeze_task_set(request, Past(registered(found))) == Done((frozen(found.content),))
    assert await freeze_task_set(request, Past(registered(found), frozen(found.content))) == Done()
    later: TaskSetRegistered = registered(found).model_copy(update={"content": "0" * 64})
    assert isinstance(await freeze_task_set(request, Past(registered(found), later)), Reject)
