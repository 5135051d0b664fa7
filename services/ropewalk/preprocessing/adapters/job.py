"""What travels between the service, the driver and the tasks: addresses, keys and counts, never documents.

Importing it is cheap: Ray and the tokenizers are loaded in the child only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.data import DatasetPublished, SegmentRef
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress


@dataclass(frozen=True, kw_only=True)
class PreprocessJob:
    """What the driver is told. `held_out_before` are keys: what earlier runs of the model held out.

    `task_sets` are the names and contents of all that are frozen.
    """

    run_id: str
    segments: tuple[SegmentRef, ...]
    recipe: Recipe
    store: StoreAddress
    scratch: Path
    ray_address: str = ""
    num_workers: int = 2
    held_out_before: tuple[str, ...] = ()
    task_sets: tuple[tuple[str, str], ...] = ()
    base_minutes: float = math.inf  # in which the base model is asked for one purpose


def preprocess(job: PreprocessJob, report: Callable[[object], None]) -> tuple[DatasetPublished, float]:
    """The entry of the child process: see `ray_driver.preprocess`."""
    from ropewalk.preprocessing.adapters import ray_driver  # seconds and 200 MB that the idle service must not pay

    return ray_driver.preprocess(job, report)
