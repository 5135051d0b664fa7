"""A decision about a run of 50,000 events reads a handful of messages, whichever service takes it."""

from pathlib import Path
from typing import Any

import pytest

from ropewalk.bus.once import RunningFold
from ropewalk.checkpoint_manager.handlers import RunHoldings, conclude, verify_checkpoint
from ropewalk.evaluator.domain import promotions
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointSaved
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.monitoring import AcknowledgeAlarm
from ropewalk.events.run import CancelRun, RunAccepted, StageCompleted
from ropewalk.events.training import TrainingProgressed
from ropewalk.ingest.handlers import cancel_run
from ropewalk.monitor.handlers import acknowledge, price_stage
from ropewalk.preprocessing.handlers import HeldOut
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.serving.handlers import FACTS
from ropewalk.storage.local import LocalObjects

NUM_EVENTS, NUM_CHECKPOINTS = 50_000, 100
HANDFUL = 5


def a_step(step: int) -> TrainingProgressed:
    return TrainingProgressed.model_construct(run_id="r", epoch=1, step=step)


def a_saving(step: int) -> CheckpointSaved:
    return CheckpointSaved(
        run_id="r",
        checkpoint_id=f"r-1-{step}",
        epoch=1,
        step=step,
        uri=f"runs/r/checkpoints/1-{step}",
        manifest_sha256="0",
        num_bytes=1,
        blocked_s=0.0,
    )


def a_commit(step: int) -> CheckpointCommitted:
    saved = a_saving(step)
    return CheckpointCommitted(run_id="r", checkpoint_id=saved.checkpoint_id, step=step, uri="u", manifest_sha256="0")


@pytest.fixture
def long_run(timeline: Any) -> Any:
    """The log of a run that trains for long and is near its next checkpoint."""
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    timeline.messages.append(RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256()))
    every = NUM_EVENTS // NUM_CHECKPOINTS
    for step in range(NUM_EVENTS):
        timeline.messages.append(a_step(step))
        if step % every == 0:
            timeline.messages += [a_saving(step), a_commit(step)]
    return timeline


async def test_verifying_a_checkpoint_reads_what_came_since_the_one_before(long_run: Any, tmp_path: Path) -> None:
    objects, known = LocalObjects(tmp_path / "objects"), RunHoldings()
    await verify_checkpoint(a_saving(NUM_EVENTS), long_run, objects, known)
    assert long_run.num_read <= 2 * NUM_CHECKPOINTS  # of a service that just started: the checkpoints, and no step
    long_run.messages += [a_step(NUM_EVENTS), a_saving(NUM_EVENTS)]
    long_run.num_read = 0
    await verify_checkpoint(a_saving(NUM_EVENTS), long_run, objects, known)
    assert long_run.num_read <= HANDFUL


async def test_the_other_decisions_about_a_run_look_up_what_they_need(long_run: Any) -> None:
    estimate = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="none")
    gate = GateDecided(
        run_id="r",
        checkpoint_id="r-1-0",
        export_uri="e",
        evaluation_uri="e",
        decision="reject",
        reasons=(),
        baseline="b",
        comparison=estimate,
    )
    stage = StageCompleted(run_id="r", stage="train", epoch=1, seconds=1.0)
    decisions = (
        lambda: conclude(gate, long_run),
        lambda: cancel_run(CancelRun(run_id="r"), long_run),
        lambda: price_stage(stage, long_run),
        lambda: acknowledge(AcknowledgeAlarm(run_id="r", alarm_id="none"), long_run),
    )
    for decide in decisions:
        long_run.num_read = 0
        await decide()
        assert long_run.num_read <= HANDFUL


def a_dataset(run_id: str) -> DatasetPublished:
    numbers = dict.fromkeys(("num_inputs", "num_kept", "num_held_out", "num_tokens", "num_windows"), 0)
    uris = {name: name for name in ("dataset_version", "uri", "tokenizer_uri", "evalset_uri", "held_out_uri")}
    return DatasetPublished(run_id=run_id, model="m", dropped={}, context_length=1, **numbers, **uris)


async def test_what_rests_on_all_runs_of_a_model_reads_the_runs_since_the_last_decision(long_run: Any) -> None:
    long_run.messages += [a_dataset(f"run-{number}") for number in range(1000)]
    held_out = HeldOut()
    known = RunningFold(promotions.Promotions(), lambda state, item: state.add(item.message), *promotions.FACTS)
    await held_out.before(long_run, "m", "mine")
    await known.now(long_run)
    long_run.messages.append(a_dataset("one-more"))
    long_run.num_read = 0
    assert await held_out.before(long_run, "m", "mine") == ("held_out_uri",)
    await known.now(long_run)
    assert long_run.num_read == 1


def test_no_decision_asks_for_all_events_of_a_run() -> None:
    """Filters name types: one that leaves the type open would read every step."""
    services = Path(__file__).parents[3] / "services" / "ropewalk"
    wide = [path.name for path in services.rglob("*.py") if "evt.*.*" in path.read_text()]
    assert wide == []
    assert FACTS.startswith("evt.serving.")
