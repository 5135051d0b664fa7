"""A user: submits runs at random moments, and cancels those that are meant to be cancelled."""

import asyncio
import random
from collections.abc import Sequence

from chaos.behaviour import WEIGHTS, behaviour_of

from ropewalk.bus.bus import Bus
from ropewalk.events.run import CancelRun, SubmitRun


def plan_runs(seed: int, num_runs: int) -> tuple[str, ...]:
    """The ids of the runs in the order of their submission; each behaviour at least once."""
    chance = random.Random(f"runs/{seed}")
    behaviours = [*WEIGHTS, *chance.choices([*WEIGHTS], [*WEIGHTS.values()], k=num_runs)][:num_runs]
    chance.shuffle(behaviours)
    return tuple(f"{behaviour}-{number}" for number, behaviour in enumerate(behaviours))


class User:
    """Remembers what the bus acknowledged."""

    def __init__(self, bus: Bus, seed: int) -> None:
        self.acknowledged: list[str] = []
        self._bus = bus
        self._chance = random.Random(f"user/{seed}")

    async def submit_all(self, run_ids: Sequence[str], mean_gap_s: float) -> None:
        """Submit every run; returns when every request is acknowledged."""
        async with asyncio.TaskGroup() as tasks:
            for run_id in run_ids:
                await asyncio.sleep(self._chance.expovariate(1 / mean_gap_s))
                tasks.create_task(self._submit(run_id))

    async def _submit(self, run_id: str) -> None:
        behaviour = behaviour_of(run_id)
        size = "huge" if behaviour == "unsound" else "tiny"
        mode = self._chance.choice(("checkpoint", "now"))
        wait_s = self._chance.uniform(0, 4)
        request = SubmitRun(
            run_id=run_id,
            recipe={"base": "python-stdlib-tiny", "size": size},
            priority=self._chance.choice((0, 0, 0, 5)),
            owner=self._chance.choice(("ann", "bob", "")),
            deadline_s=wait_s + 1 if behaviour == "late" else 0,
        )
        await asyncio.gather(*(self._bus.publish(request) for _ in range(2 if behaviour == "twice" else 1)))
        self.acknowledged.append(run_id)
        if behaviour == "cancel":
            await asyncio.sleep(wait_s)
            for chosen in (mode, "now"):  # the second time with less patience
                await self._bus.publish(CancelRun.model_validate({"run_id": run_id, "mode": chosen}))
