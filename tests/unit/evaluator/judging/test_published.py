"""Published numbers and those of other libraries, one by one: the list of the benchmark."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ropewalk.evaluator.domain.published import FUNCTIONS

SCRIPT = Path(__file__).parents[4] / "benchmarks" / "evaluation" / "published.py"
CHECKS: list[dict[str, Any]] = json.loads(SCRIPT.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    return load_script(SCRIPT)


@pytest.mark.parametrize("check", CHECKS, ids=[check["name"] for check in CHECKS])
def test_a_published_number_is_ours_to_its_last_digit(script: ModuleType, check: dict[str, Any]) -> None:
    assert script.differing([check]) == []


def test_a_number_that_differs_in_its_last_digit_is_told_with_its_source(script: ModuleType) -> None:
    check = CHECKS[0] | {"expected": 0.744}
    ours = FUNCTIONS[check["function"]](*check["arguments"])
    assert script.differing([check]) == [f"{check['name']}: {ours}, not 0.744 ({check['source']})"]


def test_every_formula_is_checked_or_says_what_it_is() -> None:
    checked = {check["function"] for check in CHECKS}
    # The alternative annotator test needs its authors' data; counts and one alpha are the same code as a checked name.
    assert set(FUNCTIONS) - checked == {"alt_test", "gwet_ac1_counts", "krippendorff_alpha"}
