"""Proving a run's ledger from the log and the object store, as any outsider could."""

from dataclasses import replace

from ropewalk.bus.codec import Stored
from ropewalk.client.client import ENDINGS, Client
from ropewalk.client.errors import NotMeasurableError
from ropewalk.corpus.ledger import LedgerPlan, LedgerVerdict, verify_ledger, verify_run
from ropewalk.corpus.mixture import mixed_order
from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.base import Message, last_of
from ropewalk.events.data import DatasetPublished
from ropewalk.events.run import RunAccepted, RunCancelled, RunCompleted, RunFailed
from ropewalk.events.training import StepsCommitted, TrainingCompleted
from ropewalk.recipes.recipe import parse_recipe
from ropewalk.storage.manifest import read_manifest
from ropewalk.storage.objects import ObjectStore

_NOTHING = LedgerPlan(dataset_version="", seed=0, num_windows=0, batch_size=1, total_steps=0)


async def verify_ledger_of(client: Client, run_id: str, objects: ObjectStore) -> LedgerVerdict:
    """Compare what training committed with what was planned, sample by sample.

    Raises UnknownRunError, NotMeasurableError, ObjectNotFoundError, ManifestError.
    """
    return ledger_verdict(await client.timeline(run_id), objects)


def ledger_verdict(timeline: list[Stored[Message]], objects: ObjectStore) -> LedgerVerdict:
    """The same from a timeline in the order of the log."""
    messages = [stored.message for stored in timeline]
    accepted = last_of(messages, RunAccepted)
    dataset = last_of(messages, DatasetPublished)
    committed = [message for message in messages if isinstance(message, StepsCommitted)]
    ending = next((message for message in messages if isinstance(message, ENDINGS)), None)
    if accepted is not None and dataset is None and isinstance(ending, RunCancelled | RunFailed):
        return verify_ledger(_NOTHING, ())
    if accepted is None or dataset is None:
        raise NotMeasurableError("the run has no ledger yet: it has not published its dataset version")
    folder, recipe = objects.fetch(dataset.uri), parse_recipe(accepted.recipe)
    meta = ShardMeta.of_json(read_manifest(folder).meta)
    mixed = mixed_order(recipe, folder, meta) if recipe.has_mixture else None
    ended = last_of(messages, TrainingCompleted)
    # A run that failed or was cancelled owes no step behind its last commit; one that completed owes all.
    num_steps = ended.num_steps if ended is not None else 0 if isinstance(ending, RunCompleted) else None
    verdict = verify_run(committed, meta, recipe, objects, num_steps=num_steps, mixed=mixed)
    return replace(verdict, is_over=ended is not None or ending is not None)
