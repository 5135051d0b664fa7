"""Short versions of benchmarks/compose: people ask and a run trains while services restart, die and stay away."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from parts.compose_stack import ROOT, ComposeStack

pytestmark = pytest.mark.stack


def measured(stack: ComposeStack, script: str, *options: str) -> dict[str, Any]:
    """What a benchmark printed; it must have passed."""
    env_file = os.environ.get("ROPEWALK_TEST_ENV", str(ROOT / ".env"))
    program = [sys.executable, str(ROOT / "benchmarks" / "compose" / script), "--env", env_file, *options]
    done = subprocess.run(program, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nobody_notices_a_rolling_restart(stack: ComposeStack) -> None:
    services = "gateway,serving,serving-2,monitor,nats,trainer"
    found = measured(stack, "rolling_restart.py", "--rate", "10", "--minutes", "1", "--services", services)
    assert found["requests"]["failed"] == found["requests"]["rows_missing"] == found["requests"]["rows_twice"] == 0


def test_a_killed_service_and_a_bus_that_is_away_cost_nothing(stack: ComposeStack) -> None:
    found = measured(
        stack, "faults.py", "--rate", "5", "--minutes", "0.3", "--away", "10", "--only", "kill-trainer,away-nats"
    )
    for group in found["runs"]:
        assert len(group["run"]["endings"]) == 1
