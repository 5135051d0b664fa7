"""What is said of a run's checkpoints while it trains, as the log has it: when to stop, and which one is the best.

Both follow from the log alone, in its order, so whoever trains on after a crash comes to the same: what was decided by
a count of validations stays decided (`Holdings.most_waited`), and which checkpoint was taken is in TrainingCompleted,
which no later validation changes.
"""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from ropewalk.bus.once import RunningFold
from ropewalk.events.checkpoint import CheckpointValidated
from ropewalk.projections.retention import FACTS, Holdings
from ropewalk.stages.context import StageContext
from ropewalk.trainer.adapters.worker.job import Finished

WITHIN_S = 180.0  # for the last checkpoint, before one is chosen: nothing else is left to do, so it takes seconds


class Validations:
    """Of the run of a stage."""

    def __init__(self, context: StageContext) -> None:
        self._context, self._plan = context, context.recipe.derived
        subjects = (f"{prefix}.{context.run_id}" for prefix in FACTS)
        self._known = RunningFold(Holdings(), lambda held, item: held.add(item.message), *subjects)

    async def stop_early(self, stop_file: Path) -> None:
        """Ask the workers to save and finish, once the loss has not fallen for long enough; for ever else."""
        if not self._plan.early_stop:
            return
        async for _ in self._context.bus.follow(f"{CheckpointValidated.subject_prefix()}.{self._context.run_id}"):
            if await self._enough():
                stop_file.touch()
                return

    async def chosen(self, finished: Finished, within_s: float = WITHIN_S) -> Finished:
        """The end of training with the checkpoint that becomes the model, and why it ended."""
        if finished.stopped and not finished.stopped_by and await self._enough():
            why = f"early_stop: no lower validation loss for {self._plan.early_stop} checkpoints"
            finished = replace(finished, stopped_by=why)
        if self._plan.export == "last" or not finished.checkpoint_id:
            return finished
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until_validated(finished.checkpoint_id), within_s)
        best = (await self._known.now(self._context.bus)).best
        if best is None or not await asyncio.to_thread(self._context.objects.exists, best.uri):
            return finished
        return replace(finished, step=best.step, checkpoint_id=best.checkpoint_id, uri=best.uri)

    async def _enough(self) -> bool:
        held = await self._known.now(self._context.bus)
        return 0 < self._plan.early_stop <= held.most_waited

    async def _until_validated(self, checkpoint_id: str) -> None:
        async for item in self._context.bus.follow(f"{CheckpointValidated.subject_prefix()}.{self._context.run_id}"):
            if isinstance(item.message, CheckpointValidated) and item.message.checkpoint_id == checkpoint_id:
                return
