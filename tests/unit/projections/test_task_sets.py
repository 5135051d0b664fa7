"""Task sets as the log tells of them."""

from itertools import permutations

from parts.task_set_files import registered

from ropewalk.events.task_set import TaskSetFrozen
from ropewalk.projections.projector import Projector
from ropewalk.projections.task_sets import TaskSetStanding, standings


def frozen(content, version=1):
    return TaskSetFrozen(task_set_id="copying", version=version, content=content)


def view(stored):
    projector = Projector(("task_sets",))
    for each in stored:
        projector.apply(each)
    return projector.view("task_sets", "copying")["versions"]


def test_the_newest_content_counts_until_one_is_frozen_whatever_the_order(log):
    messages = log(registered("a"), registered("b"), frozen("b"), registered("c"), registered("d", 2))
    for shuffled in permutations(messages):
        found = view(shuffled)
        assert (found["1"]["content"], bool(found["1"]["frozen_at"])) == ("b", True)
        assert (found["2"]["content"], found["2"]["frozen_at"]) == ("d", "")
        assert list(found) == ["1", "2"]


def test_the_first_freezing_counts(log):
    assert view(log(registered("a"), frozen("a"), frozen("b")))["1"]["content"] == "a"
    assert view(log(frozen("a"))) == {}


def test_a_handler_comes_to_the_same():
    found = standings([registered("a"), frozen("a"), registered("b"), frozen("b"), registered("c", 2)])
    assert found == {("copying", 1): TaskSetStanding("b", "a"), ("copying", 2): TaskSetStanding("c", "")}
