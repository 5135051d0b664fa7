"""What the monitor does on an event: price a stage."""

from collections.abc import Awaitable, Callable

from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.run import RunAccepted, StageCompleted
from ropewalk.monitor.ports import Timeline
from ropewalk.recipes.recipe import RecipeError, parse_recipe
from ropewalk.runtime.outcome import Done, Outcome

USD_PER_CPU_HOUR = 0.04  # for stages outside a run, such as bringing up the stack


def price_stage(timeline: Callable[[], Timeline]) -> Callable[[StageCompleted], Awaitable[Outcome]]:
    """A stage ended: say what it cost, at the price in the run's recipe."""

    async def handle(stage: StageCompleted) -> Outcome:
        accepted = await timeline().last(RunAccepted, stage.run_id)
        return Done((cost_of(stage, price_of(accepted)),))

    return handle


def price_of(accepted: RunAccepted | None) -> float:
    """USD per CPU hour."""
    if accepted is None:
        return USD_PER_CPU_HOUR
    try:
        plan = parse_recipe(accepted.recipe).plan
    except RecipeError:
        return USD_PER_CPU_HOUR
    return plan.usd_per_cpu_hour if plan else USD_PER_CPU_HOUR


def cost_of(stage: StageCompleted, usd_per_cpu_hour: float) -> CostRecorded:
    """The price of a stage's CPU time."""
    return CostRecorded(
        run_id=stage.run_id,
        stage=stage.stage,
        epoch=stage.epoch,
        seconds=stage.seconds,
        cpu_seconds=stage.cpu_seconds,
        usd=stage.cpu_seconds / 3600 * usd_per_cpu_hour,
        usd_per_cpu_hour=usd_per_cpu_hour,
    )
