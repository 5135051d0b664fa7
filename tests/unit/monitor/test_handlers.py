import pytest

from ropewalk.delivery.outcome import Done
from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.run import RunAccepted, StageCompleted
from ropewalk.monitor.handlers import USD_PER_CPU_HOUR, price_stage
from ropewalk.recipes.builtin import python_stdlib, resolve_recipe
from ropewalk.recipes.device_table import device_kind
from ropewalk.recipes.dial import complete

STAGE = StageCompleted(run_id="run-1", stage="train", epoch=3, seconds=90.0, cpu_seconds=180.0)


class Messages:
    """The last messages of a run, in memory."""

    def __init__(self, *messages):
        self._messages = {type(message): message for message in messages}

    async def last(self, kind, run_id):
        message = self._messages.get(kind)
        return message if message and message.run_id == run_id else None


async def cost(*messages):
    outcome = await price_stage(STAGE, Messages(*messages))
    assert isinstance(outcome, Done)
    [recorded] = outcome.messages
    assert isinstance(recorded, CostRecorded)
    return recorded


async def test_a_stage_outside_a_run_has_the_default_price():
    recorded = await cost()
    assert recorded.usd == pytest.approx(180 / 3600 * USD_PER_CPU_HOUR)
    assert (recorded.stage, recorded.epoch, recorded.seconds, recorded.cpu_seconds) == ("train", 3, 90.0, 180.0)


async def test_a_recipe_that_cannot_be_read_does_not_stop_the_accounts():
    accepted = RunAccepted(run_id="run-1", recipe={"nonsense": 1}, recipe_sha256="0")
    assert (await cost(accepted)).usd_per_cpu_hour == USD_PER_CPU_HOUR


async def test_gpus_are_paid_for_as_long_as_they_are_held():
    recipe = resolve_recipe({"base": "python-stdlib", "device": "cuda", "gpu_kind": "h200"})
    accepted = RunAccepted(run_id="run-1", recipe=recipe.as_json(), recipe_sha256=recipe.sha256())
    held = STAGE.model_copy(update={"gpu_seconds": 7200.0, "gpu_kind": "h200"})
    outcome = await price_stage(held, Messages(accepted))
    assert isinstance(outcome, Done)
    [recorded] = outcome.messages
    assert recorded.usd == pytest.approx(180 / 3600 * USD_PER_CPU_HOUR + 2 * device_kind("h200").usd_per_hour)
    assert (recorded.gpu_seconds, recorded.gpu_kind) == (7200.0, "h200")


async def test_the_price_is_that_of_the_runs_recipe():
    recipe = complete(python_stdlib())
    assert recipe.plan is not None
    dear = recipe.model_copy(update={"plan": recipe.plan.model_copy(update={"usd_per_cpu_hour": 1.5})})
    recorded = await cost(RunAccepted(run_id="run-1", recipe=dear.as_json(), recipe_sha256=dear.sha256()))
    assert recorded.usd_per_cpu_hour == 1.5
    assert recorded.usd == pytest.approx(180 / 3600 * 1.5)
