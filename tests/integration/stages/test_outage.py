"""The benchmark of an outage, short: longer than the lease lives, so that only suspended authority keeps the stage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "outage.py"


def outage(*options: str) -> dict[str, Any]:
    command = [sys.executable, SCRIPT, *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)


def test_an_outage_longer_than_the_lease_costs_no_step_and_all_goes_on_within_two_seconds() -> None:
    found = outage("--away", "8", "--ttl", "2")
    nothing_is_lost_and_all_goes_on(found)
    assert found["not_ready_after_s"] <= 2


@pytest.mark.slow
def test_a_network_that_swallows_everything_is_noticed_and_costs_no_step() -> None:
    found = outage("--away", "25", "--ttl", "3", "--drop")
    nothing_is_lost_and_all_goes_on(found)
    assert found["not_ready_after_s"] <= 17


def nothing_is_lost_and_all_goes_on(found: dict[str, Any]) -> None:
    assert found["steps_in_order_once"]
    assert (found["attempt"], found["interrupted"], found["facts_missing"]) == (1, False, 0)
    assert found["steps_while_away"] > 60
    assert found["steps_since_return"] > 20
    assert found["live_while_away"]
    assert set(found["recovery_s"]) == {"published", "handled", "followed", "lease_renewed", "ready"}
    assert found["recovery_s_max"] < 2.0
    assert found["loop_own_cpu_ms_max"] < 200
    busy_machine_ms = found["empty_loop_blocked_ms_max"]
    assert found["loop_blocked_ms_max"] < 200 + busy_machine_ms
