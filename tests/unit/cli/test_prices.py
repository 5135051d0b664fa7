"""The table of prices."""

import math

import pytest

from ropewalk.cli.screens.prices import _requests


@pytest.mark.parametrize(
    ("number", "written"), [(None, "never"), (math.inf, "never"), (0.2, "1"), (12_345.0, "12,345")]
)
def test_a_training_that_never_pays_is_said_to(number: float | None, written: str) -> None:
    assert _requests(number) == written
