"""Training documents that give away items of a frozen task set are found, and counted for that task set."""

from pathlib import Path

import numpy as np
import pytest
from parts.task_set_files import write_task_set

from ropewalk.events.task_set import TaskSetFrozen
from ropewalk.preprocessing.adapters.guarded import Guarded, readable_sets, task_set_items
from ropewalk.preprocessing.domain.held_items import HeldItems, find_items, held_items
from ropewalk.preprocessing.handlers import FrozenSets
from ropewalk.stages.errors import StageError
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.shelf import read_task_set, store_task_set

QUESTION = (
    "The keeper of the tower counts every ship that passes before noon and writes the number into a book {number}; "
    "what does she count on day {number}?"
)


def a_question(number: int) -> str:
    return QUESTION.replace("{number}", f"{number} of the {number + 7}th month in the year of the grey heron {number}")


@pytest.fixture
def items(tmp_path: Path) -> HeldItems:
    rows = [
        {"question": a_question(n), "choices": ["ships", "gulls"], "answer": 0, "group": f"g{n}"} for n in range(20)
    ]
    found = read_task_set(write_task_set(tmp_path / "made", rows))
    objects = LocalObjects(tmp_path / "store")
    store_task_set(objects, found, tmp_path / "scratch")
    return task_set_items(objects, "counting@1", found.content)


def leaks(groups: tuple[HeldItems, ...], texts: list[str]) -> list[set[int]]:
    guarded = Guarded(groups)
    return guarded.leaks(find_items(texts, guarded.wanted, guarded.halves), len(texts))


def test_a_document_that_quotes_an_item_is_found_for_its_task_set_and_no_other(items: HeldItems) -> None:
    others = [
        f"A page of its own about the harbour, number {n}, with words that no item of a set has" for n in range(30)
    ]
    other = held_items([("one quite different text that nobody here has ever put into any document at all today", ())])
    texts = [*others, f"Somebody wrote: {a_question(3)} Ships, of course."]
    assert leaks((other, items), texts) == [set(), {30}]
    assert leaks((items, other), texts[:30]) == [set(), set()]


def test_what_is_held_out_is_found_as_if_there_were_no_task_sets(items: HeldItems) -> None:
    secret = (
        "What is held out is this sentence of more than thirteen words which somebody will quote in a training text"
    )
    alone = held_items([(secret, ())])
    texts = [f"number {n} says nothing" for n in range(20)] + [f"A quote: {secret}, and more."]
    assert leaks((alone,), texts) == [{20}]
    assert leaks((alone, items), texts) == [{20}, set()]
    assert len(np.unique(Guarded((alone, items)).wanted)) > len(Guarded((alone,)).wanted)


def test_a_task_set_that_cannot_be_read_ends_the_work_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"task set counting@1 is frozen .*restore task_sets/abc from a backup"):
        task_set_items(LocalObjects(tmp_path), "counting@1", "abc")


def test_one_that_is_lost_stops_the_runs_that_name_it_and_no_others(items: HeldItems, tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store")
    (key,) = objects.list("task_sets")
    frozen = [("lost@1", "abc"), ("counting@1", key.partition("/")[2])]
    assert [name for name, _, _ in readable_sets(objects, frozen, ("counting@1",))] == ["counting@1"]
    with pytest.raises(StageError, match=r"task set lost@1 is frozen .*restore task_sets/abc"):
        readable_sets(objects, frozen, ("lost@1",))


async def test_every_version_is_guarded_as_it_was_frozen_first(timeline) -> None:
    for version, content in ((1, "a"), (2, "b"), (1, "c")):
        timeline.messages.append(TaskSetFrozen(task_set_id="counting", version=version, content=content))
    frozen = FrozenSets()
    assert await frozen.now(timeline) == (("counting@1", "a"), ("counting@2", "b"))
    timeline.messages.append(TaskSetFrozen(task_set_id="apples", version=1, content="d"))
    assert await frozen.now(timeline) == (("apples@1", "d"), ("counting@1", "a"), ("counting@2", "b"))
