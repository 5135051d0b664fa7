"""Follows the checkpoints of runs in training and says the loss of each on the documents that are there to watch it.

It has a consumer and a process of its own and no place in a pool, so that nothing waits for it. What it cannot read in
time it reads when the training has ended, if it still stands; the training knows nothing of it.
"""

import asyncio
import logging
import time

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold
from ropewalk.corpus.document import DEV_ITEMS
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.evaluator.adapters.dev_loss import DevOrder
from ropewalk.evaluator.adapters.side_process import SideProcess
from ropewalk.evaluator.domain.dev import is_read_beside, tokens_to_read
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointValidated
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.data import DatasetPublished
from ropewalk.events.run import RunAccepted, RunEnding
from ropewalk.events.training import TrainingCompleted
from ropewalk.projections.retention import FACTS, Checkpoint, Holdings
from ropewalk.recipes.bases import base_key, content_of
from ropewalk.recipes.recipe import Recipe, parse_recipe
from ropewalk.stages.faults import in_one_line
from ropewalk.storage.objects import ObjectStore

logger = logging.getLogger(__name__)
_WITHIN_S = 300.0  # for one checkpoint; the machine may have little left over
_MAX_WAIT_S = 0.2  # for others that were committed meanwhile


class Validator:
    """Reads one checkpoint after the other."""

    def __init__(self, objects: ObjectStore, consumer: ConsumerSpec, niceness: int) -> None:
        self._objects, self._consumer = objects, consumer
        self._process = SideProcess(niceness)

    async def run(self, bus: Bus) -> None:
        """For ever."""
        spec = self._consumer
        try:
            async for batch in bus.batches(spec, max_messages=spec.max_ack_pending // 2, max_wait_s=_MAX_WAIT_S):
                for raw, reason in batch.malformed:
                    await bus.dead_letter(spec.stream, spec.durable, raw, reason)
                await self.take(batch.items, bus)
                await batch.ack()
        finally:
            await self._process.close()

    async def take(self, items: list[Stored[Message]], bus: Bus) -> None:
        """Of each run read what is due; what goes wrong is logged.

        That there is a dataset tells that there soon will be checkpoints.
        """
        published = [item.message for item in items if isinstance(item.message, DatasetPublished)]
        if any([each.num_dev and await self._recipe(each.run_id, bus) for each in published]):
            await self._process.begun()
        newest = {item.envelope.run_id: item for item in items if not isinstance(item.message, DatasetPublished)}
        for run_id, item in newest.items():
            committed = [each.message for each in items if isinstance(each.message, CheckpointCommitted)]
            for checkpoint in await self._due(run_id, [each for each in committed if each.run_id == run_id], bus):
                error = await outcome_or_error(self._validate(run_id, checkpoint, item.envelope.id, bus))
                if error is not None:
                    logger.warning("a checkpoint of %s was not read: %s", run_id, in_one_line(error))

    async def _due(self, run_id: str, committed: list[CheckpointCommitted], bus: Bus) -> list[Checkpoint]:
        """Of a training that goes on the newest, for who lags has no use for the others; then all that are left.

        Nothing of a run that has ended otherwise than by its gate, and of one that nobody watches.
        """
        ending, _ = await bus.read_snapshot(RunEnding, f"{RunEnding.subject_prefix()}.{run_id}")
        recipe = await self._recipe(run_id, bus)
        if recipe is None or (ending is not None and ending.kind != "completed"):
            return []
        if await bus.last(TrainingCompleted, run_id) is None:
            beside = [each for each in committed if is_read_beside(recipe.derived, each.step)]
            return [Checkpoint(0, each.step, each.checkpoint_id, each.uri) for each in beside[-1:]]
        subjects = (f"{prefix}.{run_id}" for prefix in FACTS)
        held = await RunningFold(Holdings(), lambda known, item: known.add(item.message), *subjects).now(bus)
        return sorted(each for name, each in held.verified.items() if name not in held.validated)

    async def _validate(self, run_id: str, checkpoint: Checkpoint, cause_id: str, bus: Bus) -> None:
        began = time.monotonic()
        order = await self._order(run_id, checkpoint, bus)
        if order is None:
            return
        found = await self._process.read(order, _WITHIN_S)
        if found is None or not found.num_tokens:
            return
        said = CheckpointValidated(
            run_id=run_id,
            checkpoint_id=checkpoint.checkpoint_id,
            step=checkpoint.step,
            loss=found.per_token,
            bits_per_byte=found.bits_per_byte,
            num_tokens=found.num_tokens,
            num_items=found.num_items,
            seconds=time.monotonic() - began,
        )
        await bus.publish(said, cause_id=cause_id, key=f"validated/{checkpoint.checkpoint_id}")

    async def _order(self, run_id: str, checkpoint: Checkpoint, bus: Bus) -> DevOrder | None:
        """None for a dataset that has nothing to watch by."""
        recipe, dataset = await self._recipe(run_id, bus), await bus.last(DatasetPublished, run_id)
        if recipe is None or dataset is None or not dataset.num_dev:
            return None
        evalset, tokenizer, folder = [
            await asyncio.to_thread(self._objects.fetch, uri)
            for uri in (dataset.evalset_uri, dataset.tokenizer_uri, checkpoint.uri)
        ]
        if not (evalset / DEV_ITEMS).is_file():
            return None
        content = content_of(recipe.base_model) if recipe.adapter != "full" else ""
        return DevOrder(
            checkpoint=folder,
            base=await asyncio.to_thread(self._objects.fetch, base_key(content)) if content else None,
            tokenizer=tokenizer,
            evalset=evalset,
            num_tokens=tokens_to_read(recipe.derived),
        )

    async def _recipe(self, run_id: str, bus: Bus) -> Recipe | None:
        """None where nobody asks for the loss of every checkpoint.

        A base model beside its own training would take its memory once more, so it is read only where the loss decides
        something, or where the training does not look at the same documents itself.
        """
        accepted = await bus.last(RunAccepted, run_id)
        if accepted is None:
            return None
        recipe = parse_recipe(accepted.recipe)
        spare = recipe.has_base and recipe.derived.validate_every and recipe.derived.export == "last"
        return None if spare else recipe
