"""The files of a checkpoint: canonical whole tensors, so that any strategy and world size loads any other's.

    config.json, model.safetensors   fp32 weights under Hugging Face names, adapters merged; no weights where they are
                            an adapter on an imported base, which the recipe names by its content
    optimizer.safetensors   optimizer state, one tensor per parameter and moment
    state.json              everything else that the next step depends on, and what it was made with
    ledger.jsonl            {"step", "samples"} for the steps since the previous checkpoint
    metrics.jsonl           the metrics of those steps
    adapter/                only with adapters: adapter_model.safetensors, adapter_config.json as peft writes them

The content is a function of the run and the step alone (no host names, and no times but in the metrics), so that
writing it again after a restart gives the same bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path

from peft import LoraConfig
from pydantic import JsonValue
from transformers import PretrainedConfig

from ropewalk.corpus.ledger import LEDGER, LedgerRow, encode_ledger
from ropewalk.events.training import StepMetrics
from ropewalk.model.lora import merged, save_adapter
from ropewalk.model.weights import largest, save_tensors, save_weights
from ropewalk.recipes.bases import content_of
from ropewalk.storage.manifest import read_manifest
from ropewalk.trainer.adapters.worker.job import WorkerError
from ropewalk.trainer.adapters.worker.progress import METRICS, encode_rows
from ropewalk.trainer.adapters.worker.strategy import Snapshot
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace
from ropewalk.trainer.errors import TrainingError

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
_FORMAT = 1
_LARGEST = 3.4e38  # of a 32-bit number


@dataclass(frozen=True, kw_only=True)
class RunState:
    """What state.json holds. `step` steps are done."""

    step: int
    tokens: int
    num_updates: int
    identity: dict[str, JsonValue]  # what must not change between attempts
    guard: dict[str, JsonValue]
    recent_losses: tuple[float, ...]
    skipped_steps: tuple[int, ...]
    environment: dict[str, JsonValue]
    validation: dict[str, JsonValue] = field(default_factory=dict)  # what the held-out windows said
    left_out: tuple[int, ...] = ()  # samples that are never read again, since they end processes
    micro_tokens: int = 0  # at a time; kept, since another division of a batch rounds differently. 0: not known


@dataclass(frozen=True, kw_only=True)
class CheckpointContent:
    """One checkpoint in memory."""

    snapshot: Snapshot
    state: RunState
    ledger: tuple[LedgerRow, ...]
    config: PretrainedConfig
    adapters: LoraConfig | None
    reach: float  # no weight can be larger
    metrics: tuple[StepMetrics, ...] = ()  # of the steps in the ledger


class BrokenStateError(TrainingError, ArithmeticError):
    """A number in the state of a training is NaN, infinite or beyond reach, so it must not become a checkpoint."""


def check_whole(content: CheckpointContent) -> None:
    """Look at every number of weights and optimizer. Raises BrokenStateError with the first tensor that is bad."""
    parts = (("weights", content.snapshot.weights, content.reach), ("optimizer state", content.snapshot.optimizer, inf))
    for what, tensors, limit in parts:
        value, name = largest(tensors, min(limit, _LARGEST))
        if name:
            raise BrokenStateError(f"the {what} {name} hold {value:.4g} after step {content.state.step}")


def write_checkpoint(content: CheckpointContent, folder: Path) -> None:
    """Write all files into an empty folder. Raises OSError (a full disk, say)."""
    weights, adapters = content.snapshot.weights, content.adapters
    if adapters is not None:
        save_adapter(weights, adapters, folder)
    if adapters is not None and content_of(str(adapters.base_model_name_or_path)):
        content.config.save_pretrained(folder)  # the base stays as it is, and a resumed training reads it anyway
    else:
        save_weights(merged(weights, adapters) if adapters is not None else weights, content.config, folder)
    save_tensors(content.snapshot.optimizer, folder / OPTIMIZER)
    state = {"format": _FORMAT, **asdict(content.state)}
    (folder / STATE).write_text(json.dumps(state, sort_keys=True, indent=1), encoding="utf-8")
    (folder / LEDGER).write_bytes(encode_ledger(content.ledger))
    (folder / METRICS).write_bytes(encode_rows(content.metrics))


def read_state(folder: Path) -> RunState:
    """state.json of a checkpoint. Raises WorkerError for another format."""
    fields = json.loads((folder / STATE).read_text(encoding="utf-8"))
    found = fields.pop("format")
    if found != _FORMAT:
        raise WorkerError(f"the checkpoint {folder.name} has format {found}, this version reads {_FORMAT}")
    for name in ("recent_losses", "skipped_steps", "left_out"):
        fields[name] = tuple(fields.get(name, ()))
    return RunState(**fields)


def checkpoint_id_of(folder: Path) -> tuple[str, str]:
    """The id of a published checkpoint and its key in the store, from its manifest."""
    meta = read_manifest(folder).meta
    place = CheckpointPlace(run_id=str(meta["run_id"]), epoch=int(str(meta["epoch"])), step=int(str(meta["step"])))
    return str(meta["checkpoint_id"]), place.key


def check_identity(saved: dict[str, JsonValue], wanted: dict[str, JsonValue]) -> None:
    """Refuse to go on under changed conditions. Raises WorkerError that names the first difference."""
    for name, value in wanted.items():
        if saved.get(name) != value:
            raise WorkerError(
                f"cannot resume: {name} was {saved.get(name)!r} when the checkpoint was written and is {value!r} now"
            )


def in_order(per_rank: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The global batch from what each rank took: rank r has every W-th sample, from the r-th on."""
    world_size = len(per_rank)
    count = sum(len(samples) for samples in per_rank)
    return tuple(per_rank[place % world_size][place // world_size] for place in range(count))
