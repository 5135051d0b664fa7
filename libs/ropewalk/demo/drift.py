"""The last act: ordinary traffic until the monitor has its baseline, then shifted traffic until it raises an alarm."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ropewalk.demo.load import send_all
from ropewalk.demo.progress import DemoProgress
from ropewalk.demo.prompts import ordinary_prompts, shifted_prompts
from ropewalk.events.monitoring import AlarmRaised, BaselineSealed

SEED = 17  # of all prompts
NUM_ORDINARY = 160
NUM_SHIFTED = 80
MOST_EXTRA = 200
WATCH_TIMEOUT_S = 90.0
_BASELINE_TIMEOUT_S = 15.0


async def ordinary_traffic(run: DemoProgress, model: str, most_bytes: int) -> None:
    """Python prompts, then a while for the monitor to seal the baseline; without it the card says what is missing."""
    async with run.stage("traffic"):
        run.show("traffic", status="running")
        prompts = ordinary_prompts(NUM_ORDINARY, SEED, most_bytes)
        await _send(run, "traffic", model, prompts)
        with suppress(TimeoutError):
            await asyncio.wait_for(run.wait_for(BaselineSealed), _BASELINE_TIMEOUT_S)
    run.show("traffic", status="done", share=1.0)


async def shifted_traffic(run: DemoProgress, model: str, most_bytes: int) -> None:
    """Prose instead of Python, until the monitor raises an alarm or the time is over."""
    async with run.stage("watch"):
        run.show("watch", status="running", note="the traffic now is prose in German, French and legal English")
        # Only alarms behind this place of the log count: one from the ordinary traffic would be a false one.
        alarm = asyncio.create_task(run.wait_for(AlarmRaised, since=await run.client.bus.end()))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_TIMEOUT_S):
                    await _shift(run, model, most_bytes, alarm.done)
                    await alarm
        finally:
            alarm.cancel()
            await asyncio.gather(alarm, return_exceptions=True)
    run.show("watch", status="failed" if alarm.cancelled() else "done", share=1.0)


async def _shift(run: DemoProgress, model: str, most_bytes: int, is_enough: Callable[[], bool]) -> None:
    await _send(run, "watch", model, shifted_prompts(NUM_SHIFTED, SEED, most_bytes))
    if not is_enough():
        # Another batch of other prose, which stops as soon as the alarm is there.
        more = shifted_prompts(MOST_EXTRA, SEED + 1, most_bytes)
        await _send(run, "watch", model, more, is_enough)


async def _send(
    run: DemoProgress, stage: str, model: str, prompts: list[str], is_enough: Callable[[], bool] = lambda: False
) -> None:
    num_sent, errors = await send_all(
        run.client.settings,
        model,
        prompts,
        lambda ended: run.show(stage, share=ended / len(prompts), note=f"{ended} requests"),
        is_enough,
    )
    if errors:
        run.screen.say(f"{len(errors)} of {num_sent} requests failed: {errors[-1]}")
