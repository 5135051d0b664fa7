"""Asks the base model about encoded answers, for a training that is told what it said. A task for some documents each.

Rows depend on the base, the documents and how they are batched, all of which are the run's, so a replay on the same
kind of machine writes the same bytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.corpus.document import DOCUMENTS, read_records
from ropewalk.corpus.references import ReferenceRows, ReferenceWriter
from ropewalk.corpus.shards import MASK, TOKENS
from ropewalk.preprocessing.adapters.tasks import hash_of, made_once
from ropewalk.recipes.bases import base_location
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress

if TYPE_CHECKING:  # torch comes with both: only a process that asks a model loads it
    from transformers import PreTrainedModel

    from ropewalk.model.objectives.reference_pass import Lesson

DOCUMENTS_A_TASK = 128


@dataclass(frozen=True, kw_only=True)
class ReferenceOrder:
    """Which documents of an encoded segment the base is asked about: DOCUMENTS_A_TASK from the place `first` on."""

    part_uri: str
    first: int
    dtype: str
    recipe: Recipe
    prefix: str


def ask_reference(store: StoreAddress, order: ReferenceOrder) -> str:
    """Write a row for each of their tokens that count. Returns the key of the result."""
    objects = store.connect()

    def write(folder: Path) -> dict[str, Any]:
        from ropewalk.model.objectives.reference_pass import Asking, ask

        lessons = _lessons(objects.fetch(order.part_uri), order)
        model = _model(order.recipe.base_model, base_location(order.recipe, objects))
        with ReferenceWriter(folder) as writer:
            for said in ask(model, lessons, Asking(top=0)):
                writer.append(ReferenceRows(*said))
        return {"num_rows": writer.num_rows}

    return made_once(objects, f"{order.prefix}/references-{hash_of(order.part_uri, order.first)}", write)


def _lessons(part: Path, order: ReferenceOrder) -> "list[Lesson]":
    from ropewalk.model.objectives.reference_pass import Lesson

    tokens = np.memmap(part / TOKENS, dtype=order.dtype, mode="r")
    mask = np.memmap(part / MASK, dtype=np.uint8, mode="r")
    records = list(read_records(part / DOCUMENTS))[order.first : order.first + DOCUMENTS_A_TASK]
    places = (slice(each["start"], each["start"] + each["length"]) for each in records)
    return [Lesson(tokens[place].tolist(), mask[place].tolist()) for place in places]


@lru_cache(maxsize=1)  # a worker of Ray works on many tasks
def _model(name: str, location: str) -> "PreTrainedModel":
    from ropewalk.model.weights import load_model

    try:
        return load_model(location)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(f"base_model {name!r} cannot be loaded: {reason}") from None
