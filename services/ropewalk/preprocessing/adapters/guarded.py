"""What nothing that is trained on may give away: held-out documents, and the items of task sets that are frozen."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.contamination import Pairs, contaminated, find_pairs
from ropewalk.preprocessing.domain.held_items import HeldItems, held_items
from ropewalk.stages.errors import StageError
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.shelf import fetch_task_set, key_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guarded:
    """Groups of items, each looked for as if it were alone; all share one pass over the corpus."""

    groups: tuple[HeldItems, ...]

    @property
    def wanted(self) -> NDArray[np.uint64]:
        """The passages of all, sorted."""
        return np.unique(np.concatenate([group.passages.hashes for group in self.groups]))

    @property
    def halves(self) -> tuple[int, ...]:
        """How long they are, in halves of a word."""
        return tuple(sorted({length for group in self.groups for length in group.halves}))

    def leaks(self, training: Pairs, num_training: int) -> list[set[int]]:
        """For each group the training documents that give it away; `training` has places in `wanted`."""
        wanted, found = self.wanted, []
        for group in self.groups:
            own = find_pairs(group.passages, wanted)
            mine = training[np.isin(training[:, 1], own[:, 1])]
            found.append(contaminated(mine, own, num_training + group.num_documents, group.phrases))
        return found


def readable_sets(
    objects: ObjectStore, frozen: Sequence[tuple[str, str]], named: Collection[str]
) -> list[tuple[str, str, HeldItems]]:
    """Name, content and items of those that can be read. Raises StageError for one that the recipe has `named`.

    One that is lost must not stop every training: nobody is judged by it until it is back, and what was trained
    meanwhile does not say that it was searched for it.
    """
    found = []
    for name, content in frozen:
        try:
            found.append((name, content, task_set_items(objects, name, content)))
        except StageError as error:
            if name in named:
                raise
            logger.warning("%s; the run, which does not name it, goes on", error)
    return found


def task_set_items(objects: ObjectStore, name: str, content: str) -> HeldItems:
    """The items of a frozen task set: what is asked with what is right. Raises StageError if it cannot be read."""
    try:
        found = fetch_task_set(objects, content)
    except (StorageError, TaskSetError) as error:
        raise StageError(
            f"task set {name} is frozen and can no longer be read, so it cannot be kept from training ({error}): "
            f"restore {key_of(content)} from a backup"
        ) from None
    told = [[item.asked(found.definition), *item.right] for item in found.items]
    return held_items(("\n".join(texts[:2]), texts) for texts in told)
