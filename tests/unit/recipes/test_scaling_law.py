"""What the law says of losses, and how sure it is."""

from dataclasses import replace

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.expected import Expected
from ropewalk.recipes.model_shape import ModelShape, shape_of
from ropewalk.recipes.scaling_law import expected_bits, worth


def a_shape(size: str = "nano") -> ModelShape:
    return shape_of(resolve_recipe({"base": "python-stdlib", "size": size}).derived)


def width(expected: Expected) -> float:
    return (expected.high - expected.low) / expected.value


def test_more_text_and_more_weights_give_a_lower_loss() -> None:
    losses = [expected_bits(a_shape(), num_bytes).value for num_bytes in (3e5, 3e6, 3e7)]
    assert losses == sorted(losses, reverse=True)
    narrow = replace(a_shape(), hidden_size=64, num_heads=2, intermediate_size=192)
    assert expected_bits(narrow, 3e6).value > losses[1]


def test_the_interval_grows_with_the_distance_from_what_was_measured() -> None:
    near, far = (expected_bits(a_shape(), num_bytes, same_text=True) for num_bytes in (3e5, 3e9))
    assert width(far) > 1.5 * width(near)
    assert near.covers(near.value)


def test_other_text_is_less_sure_than_the_one_that_was_measured() -> None:
    other, same = expected_bits(a_shape(), 3e6), expected_bits(a_shape(), 3e6, same_text=True)
    assert width(other) > width(same)


def test_four_passes_are_worth_nearly_four_and_a_hundred_are_not() -> None:
    assert worth(4e6, 1e6) == pytest.approx(3.73e6, rel=0.01)  # arXiv 2305.16264: D' = U + U R (1 - exp(-r / R))
    assert worth(1e8, 1e6) < 17e6
    assert worth(5e5, 1e6) == 5e5
    assert worth(5e5, 0) == 5e5
