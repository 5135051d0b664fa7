"""The task sets that ship are sound, small, and right."""

import ast

import pytest

from ropewalk.tasksets.definition import JUDGED, METRICS
from ropewalk.tasksets.shelf import SUITE, ReadTaskSet, read_task_set, shipped

FOUND = {name: read_task_set(SUITE / f"{name}.yaml") for name in shipped()}
OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


def test_they_are_of_every_type_and_small() -> None:
    assert {each.definition.type for each in FOUND.values()} == set(METRICS) - set(JUDGED)
    assert sum(path.stat().st_size for path in SUITE.iterdir()) <= 300_000
    assert {each.definition.licence for each in FOUND.values()} == {"PSF-2.0", "CC0-1.0"}


@pytest.mark.parametrize("found", FOUND.values(), ids=list(FOUND))
def test_each_has_enough_items_of_enough_clusters_and_is_only_shown(found: ReadTaskSet) -> None:
    assert len(found.used()) == len(found.items) >= 40
    assert len({item.cluster for item in found.items}) >= 20
    assert not found.definition.primary
    assert found.definition.type == "rolling" or len(found.definition.templates) == 3


@pytest.mark.parametrize("name", [name for name, each in FOUND.items() if each.definition.type == "mc"])
def test_no_place_of_a_choice_is_right_more_often_than_chance_explains(name: str) -> None:
    items = FOUND[name].items
    places = [item.answer for item in items]
    assert {len(item.choices) for item in items} == {4}
    assert all(places.count(place) < len(items) * 0.4 for place in range(4))


def test_the_records_are_those_of_the_syntax_tree() -> None:
    for item in FOUND["python-extraction"].items:
        node = ast.parse(item.fields["code"] + " pass").body[0]
        assert isinstance(node, ast.FunctionDef)
        names, defaults = [each.arg for each in node.args.args], len(node.args.defaults)
        assert item.answer == {"name": node.name, "arguments": names, "num_defaults": defaults}


def test_the_programs_pass_their_tests_and_no_other_body_does() -> None:
    for item in FOUND["programs"].items:
        exec(item.fields["question"] + item.fields["solution"] + item.fields["tests"], {})
        with pytest.raises(AssertionError):
            exec(item.fields["question"] + "    return None\n" + item.fields["tests"], {})


def test_the_sums_are_right_and_what_is_copied_is_the_same() -> None:
    for item in FOUND["arithmetic"].items:
        one, sign, two = item.fields["question"].split()
        assert item.answer == str(OPERATIONS[sign](int(one), int(two)))
    assert all(item.answer == item.fields["question"] for item in FOUND["copying"].items)
