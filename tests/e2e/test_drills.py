"""Drills through the command line on the real stack, one after the other on one run."""

from typing import Any

import pytest

from ropewalk.events.checkpoint import CheckpointCommitted
from ropewalk.events.drill import DrillCompleted
from ropewalk.events.run import RunCompleted, StageCompleted

pytestmark = [pytest.mark.stack, pytest.mark.slow]

RUN = "drilled"


def drill(stack, name: str, *arguments: str) -> dict[str, Any]:
    """Play a drill, which must pass."""
    done = stack.ropewalk("drill", name, *arguments, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(each["last"] for each in stack.json("drill", "list") if each["drill"] == name)


def test_one_run_passes_drill_after_drill_and_is_whole_in_the_end(stack) -> None:
    stack.submit({"base": "python-stdlib-tiny", "trials": 0, "minutes": 0.6, "seed": 11}, RUN)
    stack.until(RUN, CheckpointCommitted)
    broker = drill(stack, "kill-broker")
    assert broker["recover_s"] < 60
    paused = drill(stack, "pause-service", "--run", RUN)
    assert paused["target"] == f"trainer, in stage train of run {RUN}"
    drill(stack, "kill-service")
    stack.until(RUN, RunCompleted)
    drill(stack, "poison")
    drill(stack, "duplicate-everything", "--run", RUN)

    timeline = stack.timeline(RUN)
    stages = [event.stage for event in timeline if isinstance(event, StageCompleted)]
    assert sum(isinstance(event, RunCompleted) for event in timeline) == 2  # the run's own, and its duplicate
    assert all(stages.count(stage) == 2 for stage in stages), stages
    assert {event.drill for event in timeline if isinstance(event, DrillCompleted)} >= {
        "pause-service",
        "duplicate-everything",
    }
    verified = stack.ropewalk("ledger", "verify", RUN)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_killed_worker_costs_steps_but_no_sample(stack) -> None:
    run = "drilled-worker"
    stack.submit({"base": "python-stdlib-tiny", "trials": 0, "minutes": 0.5, "seed": 12}, run)
    stack.until(run, CheckpointCommitted)
    card = drill(stack, "kill-worker", "--run", run)
    assert card["target"].startswith("training worker ")
    assert 0 < card["detect_s"] <= card["recover_s"] < 120
    assert (card["lost"], card["lost_unit"]) == (0, "steps")
    assert "as planned" in next(each["detail"] for each in card["checks"] if each["name"] == "ledger")


def test_users_of_the_endpoint_notice_only_what_hits_the_endpoint(stack, promoted) -> None:
    def said(card: dict[str, Any]) -> dict[str, str]:
        return {each["name"]: each["detail"] for each in card["checks"]}

    broker = said(drill(stack, "kill-broker"))
    assert " 0 failed" in broker["requests to the endpoint"]
    assert " 0 missing" in broker["requests in the log"]
    serving = said(drill(stack, "kill-service", "--service", "serving"))
    assert "away for" in serving["requests to the endpoint"]
    assert " 0 there twice" in serving["requests in the log"]
