"""The share of fields that are right."""

from typing import Any

import pytest

from ropewalk.usecases.fields import field_accuracy, is_equal, key_of, leaves


@pytest.mark.parametrize(
    ("given", "wanted", "share"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1}, 1.0),
        ({"a": 1, "b": "y"}, {"a": 1, "b": "x"}, 1 / 2),
        ({"a": 1}, {"a": 1, "b": "x"}, 1 / 2),
        ({"a": 1, "b": "x", "c": 0}, {"a": 1, "b": "x"}, 2 / 3),
        ({"a": [1, 2, 3]}, {"a": [1, 2]}, 2 / 3),
        ({"a": []}, {"a": []}, 1.0),
        ({"a": []}, {"a": ["x"]}, 0.0),
        ({"a": True}, {"a": 1}, 0.0),
        ({"a": 1.0}, {"a": 1}, 1.0),
        ({"a": None}, {}, 0.0),
        (None, {"a": 1}, 0.0),
        ("yes", "yes", 1.0),
        ("yes", "Yes", 0.0),
        ({"0": "x"}, ["x"], 0.0),
    ],
)
def test_leaves_that_both_have_alike_count_of_all_that_either_has(given: Any, wanted: Any, share: float) -> None:
    assert field_accuracy(given, wanted) == pytest.approx(share)
    assert field_accuracy(wanted, given) == pytest.approx(share)


def test_no_depth_exhausts_the_stack() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert list(leaves(deep).values()) == [1]
    assert is_equal(deep, deep)


def test_values_have_one_key_where_they_are_equal_and_only_there() -> None:
    values: list[Any] = [1, 1.0, True, "1", None, [], {}, "", "list", [1], [1.0], [True], {"0": 1}, {"a": [], "b": 2}]
    values += [{"b": 2.0, "a": []}, {"a": {}, "b": 2}, [[]], [{}], [None], 0, False]
    for one in values:
        assert [key_of(one) == key_of(other) for other in values] == [is_equal(one, other) for other in values]
