"""Which window a training step reads when the recipe gives sources shares: a pure function as `SampleOrder` is.

A fixed pattern of slots says whose turn it is, each source's slots as far apart as they can be; the k-th turn of a
source reads the k-th window of its own endless `SampleOrder`. So every pass over a source reads each of its windows
once, and a run resumes anywhere, on any number of workers.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.document import DOCUMENTS, read_records
from ropewalk.corpus.errors import CorpusError
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.foreign import quoted
from ropewalk.recipes.recipe import Recipe, SourceRecipe

_SLOTS = 100_000  # shares are met within one of them


class MixtureError(CorpusError, ValueError):
    """A dataset cannot give what the recipe's weights and epochs ask for. The text names the source and the remedy."""


@dataclass(frozen=True)
class MixedOrder:
    """`windows` are those of each source, ascending; `slots` how many turns in a pattern each has, one at least."""

    dataset_version: str
    seed: int
    windows: dict[str, NDArray[np.int64]]
    slots: dict[str, int]

    def samples(self, step: int, batch_size: int) -> list[int]:
        """The windows of a step (0-based), over all workers: `batch_size` indices."""
        return self.indices(step * batch_size, batch_size)

    def indices(self, start: int, count: int) -> list[int]:
        """The windows at the places start … start + count - 1 of the endless sequence."""
        found = np.zeros(count, dtype=np.int64)
        turns = self._pattern[np.arange(start, start + count) % len(self._pattern)]
        for number, (source_id, own) in enumerate(self.windows.items()):
            at = np.flatnonzero(turns == number)
            if len(at):
                order = SampleOrder(f"{self.dataset_version}/{source_id}", self.seed, len(own))
                found[at] = own[order.indices(self._turns_before(source_id, start), len(at))]
        return found.tolist()

    def num_read(self, count: int) -> dict[str, int]:
        """How many of the first `count` places each source has."""
        return {source_id: self._turns_before(source_id, count) for source_id in self.windows}

    @cached_property
    def _pattern(self) -> NDArray[np.int64]:
        """The number of the source whose turn each slot is, spread out: the k-th of n turns lies at (k + 1/2) / n."""
        turns = [(np.arange(self.slots[source_id]) + 0.5) / self.slots[source_id] for source_id in self.windows]
        owners = np.repeat(np.arange(len(turns)), [len(each) for each in turns])
        return owners[np.argsort(np.concatenate(turns), kind="stable")]

    @cached_property
    def _places(self) -> dict[str, NDArray[np.int64]]:
        """Of each source's slots in the pattern, ascending."""
        return {source_id: np.flatnonzero(self._pattern == number) for number, source_id in enumerate(self.windows)}

    def _turns_before(self, source_id: str, place: int) -> int:
        rounds, rest = divmod(place, len(self._pattern))
        places = self._places[source_id]
        return rounds * len(places) + int(np.searchsorted(places, rest))


def mixed_order(recipe: Recipe, dataset: Path, meta: ShardMeta) -> MixedOrder:
    """The order in which a run whose sources have shares reads a dataset version. Raises MixtureError."""
    windows, asked = windows_by_source(dataset, meta), recipe.mixture
    assert asked is not None, "no source has a share"
    sources = {source.source_id: source for source in recipe.sources}
    for source_id, share in asked.items():
        if share > 0 and source_id not in windows:
            raise MixtureError(
                f"the source {quoted(sources[source_id].path)} has no window of {meta.context_length} tokens after "
                "cleaning: add documents to it, or remove it, or set its weight to 0"
            )
    wanted = sorted(source_id for source_id, share in asked.items() if share > 0)
    by_passes = any(source.weight is None for source in recipe.sources)
    shares = {source_id: asked[source_id] * (len(windows[source_id]) if by_passes else 1) for source_id in wanted}
    order = MixedOrder(meta.dataset_version, recipe.seed, {each: windows[each] for each in wanted}, _slots(shares))
    _check_epochs(recipe, order, sources)
    return order


def windows_by_source(dataset: Path, meta: ShardMeta) -> dict[str, NDArray[np.int64]]:
    """The windows of each source, ascending. A window belongs to the document that its first token is of."""
    numbers: dict[str, int] = {}
    starts: list[int] = []
    owners: list[int] = []
    for record in read_records(dataset / DOCUMENTS):
        owner = numbers.setdefault(record["source_id"], len(numbers))
        if not owners or owners[-1] != owner:
            starts.append(record["start"])
            owners.append(owner)
    firsts = np.arange(meta.num_windows, dtype=np.int64) * meta.context_length
    of_window = np.array(owners)[np.searchsorted(np.array(starts), firsts, side="right") - 1]
    found = {source_id: np.flatnonzero(of_window == number) for source_id, number in numbers.items()}
    return {source_id: windows for source_id, windows in found.items() if len(windows)}


def _slots(shares: dict[str, float]) -> dict[str, int]:
    """Largest remainders; a source of little weight has one slot nevertheless."""
    exact = {source_id: _SLOTS * share / sum(shares.values()) for source_id, share in shares.items()}
    slots = {source_id: int(each) for source_id, each in exact.items()}
    by_remainder = sorted(exact, key=lambda each: slots[each] - exact[each])
    for source_id in by_remainder[: _SLOTS - sum(slots.values())]:
        slots[source_id] += 1
    return {source_id: max(1, count) for source_id, count in slots.items()}


def _check_epochs(recipe: Recipe, order: MixedOrder, sources: dict[str, SourceRecipe]) -> None:
    """Raises MixtureError if training would read a source more often than the recipe allows."""
    batch_size, total_steps = recipe.derived.batch_size, recipe.derived.total_steps
    read = order.num_read(total_steps * batch_size)
    rounding = 1 + total_steps * batch_size / _SLOTS
    for source_id, windows in order.windows.items():
        epochs = sources[source_id].epochs
        if epochs is not None and read[source_id] > epochs * len(windows) + rounding:
            steps = int(total_steps * epochs * len(windows) / read[source_id])
            raise MixtureError(
                f"the source {quoted(sources[source_id].path)} has {len(windows):,} windows, and training would read "
                f"{read[source_id]:,} of it, more than its epochs, {epochs:g}, allow: set training.total_steps to "
                f"{steps:,} at most, allow more epochs, or add documents"
            )
