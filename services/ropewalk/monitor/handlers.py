"""What the monitor does on a message: price a stage, note who looks after an alarm, set a new baseline."""

from datetime import UTC, datetime

from ropewalk.bus.once import Log, Timeline
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.events.foreign import quoted
from ropewalk.events.monitoring import AcknowledgeAlarm, AlarmAcknowledged, AlarmRaised, CostRecorded, Rebaseline
from ropewalk.events.run import RunAccepted, StageCompleted
from ropewalk.monitor.adapters.watcher import Watcher
from ropewalk.recipes.recipe import RecipeError, parse_recipe

USD_PER_CPU_HOUR = 0.04  # for stages outside a run, such as bringing up the stack
_NOT_YET_S = 1.0  # the watch reads its snapshots within seconds of a start


async def price_stage(stage: StageCompleted, timeline: Timeline) -> Outcome:
    """A stage ended: say what it cost, at the price in the run's recipe."""
    accepted = await timeline.last(RunAccepted, stage.run_id)
    return Done((cost_of(stage, *prices_of(accepted)),))


async def acknowledge(asked: AcknowledgeAlarm, log: Log) -> Outcome:
    """Somebody looks after an alarm: say so in the log, if there is such an alarm."""
    async for stored in log.read(f"{AlarmRaised.subject_prefix()}.{asked.run_id}"):
        if isinstance(stored.message, AlarmRaised) and stored.message.alarm_id == asked.alarm_id:
            said = AlarmAcknowledged(run_id=asked.run_id, alarm_id=asked.alarm_id, by=asked.by, note=asked.note)
            return Done((said,))
    return Reject(f"run {asked.run_id} has no alarm {quoted(asked.alarm_id)}: `ropewalk alarms list` shows them")


async def rebaseline(asked: Rebaseline, watch: Watcher | None) -> Outcome:
    """Take the next requests as the baseline of a model version."""
    if watch is None:
        return Retry(_NOT_YET_S, "the watch is still finding its place")
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if await watch.rebaseline(asked, time):
        return Done()
    what = f"{quoted(asked.signal)} of " if asked.signal else ""
    version = f"version {asked.model_version} of model {quoted(asked.model)}"
    return Reject(f"{what}{version} is not watched: there is no baseline to replace")


def prices_of(accepted: RunAccepted | None) -> tuple[float, float]:
    """USD per CPU-hour and per GPU-hour, as the run's plan says. Without a plan nothing can hold a GPU."""
    try:
        plan = parse_recipe(accepted.recipe).plan if accepted is not None else None
    except RecipeError:
        plan = None
    return (plan.usd_per_cpu_hour, plan.usd_per_gpu_hour) if plan else (USD_PER_CPU_HOUR, 0.0)


def cost_of(stage: StageCompleted, usd_per_cpu_hour: float, usd_per_gpu_hour: float) -> CostRecorded:
    """The price of the CPU time that a stage used and of the GPUs that it held."""
    return CostRecorded(
        run_id=stage.run_id,
        stage=stage.stage,
        epoch=stage.epoch,
        seconds=stage.seconds,
        cpu_seconds=stage.cpu_seconds,
        usd=(stage.cpu_seconds * usd_per_cpu_hour + stage.gpu_seconds * usd_per_gpu_hour) / 3600,
        usd_per_cpu_hour=usd_per_cpu_hour,
        gpu_seconds=stage.gpu_seconds,
        gpu_kind=stage.gpu_kind,
        usd_per_gpu_hour=usd_per_gpu_hour,
    )
