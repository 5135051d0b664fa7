"""The model, its optimizer and the state that a job starts from."""

import platform
from dataclasses import dataclass, replace
from inspect import signature
from math import inf
from pathlib import Path

import torch
import torch.distributed as dist
import transformers
from peft import LoraConfig
from pydantic import JsonValue
from transformers import PreTrainedModel

from ropewalk.corpus.shards import TokenShard
from ropewalk.model.architecture import Shape, build_model, num_parameters
from ropewalk.model.fast_blocks import BlockPlan
from ropewalk.model.lora import adapter_file, adapter_weights, add_adapters, lora_config
from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.model.objectives.distill import Distill
from ropewalk.model.objectives.objective import Objective
from ropewalk.model.objectives.preference import Preference
from ropewalk.model.objectives.told import ToldLoss
from ropewalk.model.schedule import Schedule
from ropewalk.model.weights import WEIGHTS, largest, load_model, load_tensors
from ropewalk.recipes.bases import base_location
from ropewalk.recipes.objective import OBJECTIVE_FIELDS
from ropewalk.recipes.recipe import Plan, Recipe
from ropewalk.storage.objects import ObjectNotFoundError
from ropewalk.trainer.adapters.poison import Poison, leave_out_poison
from ropewalk.trainer.adapters.worker.batches import Batches
from ropewalk.trainer.adapters.worker.checkpoint import (
    OPTIMIZER,
    RunState,
    check_identity,
    checkpoint_id_of,
    read_state,
)
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.flops import flops_per_token
from ropewalk.trainer.adapters.worker.job import WorkerError, WorkerJob
from ropewalk.trainer.adapters.worker.micro_batch import tokens_at_once
from ropewalk.trainer.adapters.worker.strategies import make_strategy
from ropewalk.trainer.adapters.worker.strategy import Strategy
from ropewalk.trainer.domain.validation import Looks

_REACH = 10.0  # rates: an update of AdamW or Muon moves a number by little more than one


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model spread over the ranks, ready for step `state.step`."""

    device: Device
    model: PreTrainedModel
    strategy: Strategy
    schedule: Schedule
    adapters: LoraConfig | None
    state: RunState
    checkpoint_id: str  # what it resumed from; empty: nothing
    checkpoint_uri: str
    num_parameters: int
    flops_per_token: int
    poison: Poison  # what was found and is left out from here on
    reaches: tuple[float, float]  # the largest weight, and how far an update can move one: generously

    def reach(self, step: int) -> float:
        """What no healthy weight exceeds after that many steps."""
        return self.reaches[0] + self.reaches[1] * max(0, step - self.state.step)


_NO_PLACES = (
    "training.document_masks is on, but the base model takes no positions of tokens, so its attention cannot be kept "
    "within a document: set training.document_masks to false"
)
_FREE_IN_AN_EXTENSION = ("run_id", "total_steps", "matrix_lr", "adam_lr")


def prepare(job: WorkerJob, shard: TokenShard, device: Device, batches: Batches) -> Prepared:
    """Build or load the model, and resume if the job says so. Raises WorkerError with a sentence for the user."""
    recipe, plan = job.recipe, job.recipe.derived
    adapters = None
    if recipe.has_base and recipe.adapter != "full":
        adapters = lora_config(plan.lora_rank, plan.lora_alpha, plan.lora_targets, dora=recipe.adapter == "dora")
        adapters.base_model_name_or_path = recipe.base_model  # `name@content` of an imported one
    model = _load_base(job).to(device.torch_device) if recipe.has_base else _new_model(job, shard, device)
    _check_fits(model, shard)
    if plan.document_masks and "position_ids" not in signature(model.forward).parameters:
        raise WorkerError(_NO_PLACES)
    if adapters is not None:
        add_adapters(model, adapters, recipe.seed)
    state, checkpoint_id, checkpoint_uri = _fresh_state(job, device), "", ""
    if job.resume_from is not None:
        checkpoint_id, checkpoint_uri = checkpoint_id_of(job.resume_from)
        state = _state_to_go_on_with(job, job.resume_from, of_another_run=checkpoint_id == recipe.extends)
        _load_weights(model, job.resume_from, with_adapters=adapters is not None)
    count, flops = num_parameters(model), flops_per_token(model, shard.meta.context_length)
    most, _ = largest(dict(model.named_parameters()), inf)
    loss = _loss_of(model.train(), plan, _block_plan(recipe, device))
    state, poison = leave_out_poison(job, state, loss, batches, device)  # before the loss is wrapped
    strategy = make_strategy(recipe, loss, _rates(job), device)
    if job.resume_from is not None:
        _load_optimizer(strategy, job.resume_from, state.num_updates)
    if plan.micro_batch:
        state = replace(state, micro_tokens=plan.micro_batch * shard.meta.context_length)
    elif not state.micro_tokens or state.environment["device"] != device.description:
        state = replace(state, micro_tokens=tokens_at_once(model.config, count, _memory_bytes(plan, device)))
    batches.micro_tokens = state.micro_tokens
    return Prepared(
        device=device,
        model=model,
        strategy=strategy,
        schedule=_schedule(job),
        adapters=adapters,
        state=state,
        checkpoint_id=checkpoint_id,
        checkpoint_uri=checkpoint_uri,
        num_parameters=count,
        flops_per_token=flops,
        poison=poison,
        reaches=(most + 1.0, _REACH * (job.matrix_lr + job.adam_lr)),
    )


def _rates(job: WorkerJob) -> Rates:
    plan = job.recipe.derived
    muon = plan.optimizer == "muon"
    return Rates(matrix_lr=job.matrix_lr, adam_lr=job.adam_lr, weight_decay=plan.weight_decay, uses_muon=muon)


def _block_plan(recipe: Recipe, device: Device) -> BlockPlan | None:
    """On a CPU in fp32 a model of our own is computed as transformers does; stage 3 fetches only whole modules."""
    is_plain = device.block_plan is None and recipe.has_base and recipe.zero_stage < 3
    return BlockPlan(dtype=device.dtype) if is_plain else device.block_plan


def _loss_of(model: PreTrainedModel, plan: Plan, blocks: BlockPlan | None) -> NextTokenLoss:
    """The model with the loss that the plan asks for."""
    recompute = plan.activation_checkpointing
    if plan.objective == "sft":
        return NextTokenLoss(model, blocks, recompute=recompute)
    objective: Objective = Preference(beta=plan.beta)
    if plan.objective == "distill":
        objective = Distill(kl_weight=plan.kl_weight, temperature=plan.temperature)
    return ToldLoss(model, objective, blocks, recompute=recompute)


def _memory_bytes(plan: Plan, device: Device) -> int:
    """As if there were none of its own (0) where the logits of all answers are held."""
    return device.memory_bytes if plan.objective == "sft" else 0


def _schedule(job: WorkerJob) -> Schedule:
    plan = job.recipe.derived
    return Schedule(
        total_steps=plan.total_steps,
        warmup_steps=plan.warmup_steps,
        decay_start=plan.decay_start,
        decay=plan.decay,
    )


def environment(job: WorkerJob, device: Device) -> dict[str, JsonValue]:
    """What the bits of the result depend on besides the recipe and the data."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads_per_rank": torch.get_num_threads(),
        "world_size": dist.get_world_size(),
        "strategy": job.recipe.chosen_strategy,
        "device": device.description,
    }


def _new_model(job: WorkerJob, shard: TokenShard, device: Device) -> PreTrainedModel:
    plan = job.recipe.derived
    shape = Shape(
        vocab_size=plan.vocab_size,
        hidden_size=plan.hidden_size,
        num_layers=plan.num_layers,
        num_heads=plan.num_heads,
        num_kv_heads=plan.num_kv_heads,
        head_dim=plan.head_dim,
        intermediate_size=plan.intermediate_size,
        context_length=shard.meta.context_length,
        eos_id=shard.meta.eos_id,
    )
    return build_model(shape, job.recipe.seed, device.torch_device)


def _load_base(job: WorkerJob) -> PreTrainedModel:
    try:
        return load_model(base_location(job.recipe, job.store.connect()))
    except (OSError, ValueError, ObjectNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise WorkerError(f"base_model {job.recipe.base_model!r} cannot be loaded: {reason}") from None


def _check_fits(model: PreTrainedModel, shard: TokenShard) -> None:
    longest, meta = model.config.max_position_embeddings, shard.meta
    if meta.context_length > longest:
        raise WorkerError(f"the dataset has windows of {meta.context_length} tokens, the model takes at most {longest}")
    if len(shard.unigram()) > model.config.vocab_size:
        raise WorkerError(
            f"the tokenizer has {len(shard.unigram())} tokens, the model's embedding only {model.config.vocab_size}: "
            "fine-tune with the tokenizer of the base model"
        )


def _identity(job: WorkerJob) -> dict[str, JsonValue]:
    """The order of samples, the schedule and the base; the number of workers and the strategy may change."""
    plan, mixture = job.recipe.derived, job.recipe.mixture
    told = {} if plan.objective == "sft" else {name: getattr(plan, name) for name in OBJECTIVE_FIELDS}
    told |= {} if plan.optimizer == "muon" else {"optimizer": plan.optimizer}
    return {
        "run_id": job.run_id,
        "dataset_version": job.dataset_version,
        "seed": job.recipe.seed,
        "batch_size": plan.batch_size,
        "total_steps": plan.total_steps,
        "matrix_lr": job.matrix_lr,
        "adam_lr": job.adam_lr,
        "base_model": job.recipe.base_model,
        "adapter": job.recipe.adapter,
        "mixture": None if mixture is None else {**mixture},
        **told,
    }


def _state_to_go_on_with(job: WorkerJob, folder: Path, *, of_another_run: bool) -> RunState:
    """Raises WorkerError under changed conditions. A run that extends another may be longer, at other rates.

    Of what the other's held-out windows said it keeps the loss of this checkpoint, if that is the best: see `Looks`.
    """
    state, wanted = read_state(folder), _identity(job)
    if not of_another_run:
        check_identity(state.identity, wanted)
        return state
    check_identity(state.identity, {name: wanted[name] for name in wanted if name not in _FREE_IN_AN_EXTENSION})
    looks = Looks.of_json(state.validation).extended(state.step)
    return replace(state, identity=wanted, validation=looks.as_json())


def _fresh_state(job: WorkerJob, device: Device) -> RunState:
    return RunState(
        step=0,
        tokens=0,
        num_updates=0,
        identity=_identity(job),
        guard={"norms": [], "skips_in_a_row": 0},
        recent_losses=(),
        skipped_steps=(),
        environment=environment(job, device),
    )


def _load_weights(model: PreTrainedModel, folder: Path, *, with_adapters: bool) -> None:
    if with_adapters:
        saved = adapter_weights(load_tensors(adapter_file(folder)))
        wanted = {name: each.shape for name, each in model.named_parameters() if each.requires_grad}
    else:
        saved = load_tensors(folder / WEIGHTS)
        wanted = {name: each.shape for name, each in model.named_parameters()}
    if saved.keys() != wanted.keys():
        different = sorted(saved.keys() ^ wanted.keys())[0]
        raise WorkerError(f"cannot resume: the checkpoint belongs to another architecture ({different} differs)")
    for name, shape in wanted.items():
        if saved[name].shape != shape:
            raise WorkerError(
                f"cannot resume: {name} has the shape {list(saved[name].shape)} in the checkpoint and {list(shape)} "
                "in this run's plan: keep the plan's widths as they were"
            )
    model.load_state_dict(saved, strict=False)


def _load_optimizer(strategy: Strategy, folder: Path, num_updates: int) -> None:
    try:
        strategy.load_optimizer(load_tensors(folder / OPTIMIZER), num_updates)
    except KeyError as error:
        raise WorkerError(
            f"cannot resume: the checkpoint has no optimizer state {error}: deepspeed of a release before moved all "
            "weights with AdamW, which nothing continues now; fine-tune from it as base_model"
        ) from None
