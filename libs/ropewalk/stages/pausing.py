"""What the log says about a pause. It decides, not what an instance heard: so it holds after any restart."""

from ropewalk.bus.bus import Bus
from ropewalk.events.run import RunPaused, RunResumed


async def is_paused(bus: Bus, stage: str, run_id: str) -> bool:
    """Whether a stage must not run now: it was paused, and not resumed since."""
    paused = await bus.last_stored(RunPaused, run_id)
    if paused is None or paused.message.stage != stage:
        return False
    resumed = await bus.last_stored(RunResumed, run_id)
    return resumed is None or resumed.sequence < paused.sequence


async def moved_deadline(bus: Bus, run_id: str, deadline_unix: float) -> float:
    """The deadline of a run in seconds since 1970 after its pauses, which do not count; 0: never."""
    resumed = await bus.last(RunResumed, run_id) if deadline_unix else None
    return resumed.deadline_unix if resumed is not None else deadline_unix
