"""What a person may say of a training beyond size and minutes. Whatever is left out, the dial derives."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from ropewalk.recipes.frozen import Frozen

_Rate = Annotated[float, Field(allow_inf_nan=False, gt=0, le=10)]
_Count = Annotated[int, Field(ge=1, le=100_000_000)]
_Steps = Annotated[int, Field(ge=0, le=100_000_000)]
_Prompt = Annotated[str, Field(min_length=1, max_length=2000)]
_Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA_TARGETS: tuple[_Target, ...] = get_args(_Target)
_NO_QLORA = (
    "it is 'qlora', which is not there: the frozen weights would have to be computed with in 4 bits, and nothing here "
    "does; choose 'lora' or 'dora', and `strategy: fsdp` or a smaller base_model if memory is short"
)


def _known_adapter(word: Any) -> Any:
    if word == "qlora":
        raise ValueError(_NO_QLORA)
    return word


Adapter = Annotated[Literal["full", "lora", "dora"], BeforeValidator(_known_adapter)]
SHAPE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "intermediate_size",
)
LORA_FIELDS = ("lora_rank", "lora_alpha", "lora_targets")


def _derived(how: str, **limits: Any) -> Any:
    return Field(default=None, description=how, **limits)


class TrainingRecipe(Frozen):
    """How the model is trained. A field that is left out is derived, and the plan says to what.

    Every field but `total_tokens` has the name of the field of the plan that it sets.
    """

    objective: Literal["sft", "distill", "dpo"] | None = _derived(
        "what is learnt. sft: the answers; distill: also what the base model with `task.instruction` thinks of each of "
        "their tokens; dpo: which of two answers is better; derived: sft"
    )
    kl_weight: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)] | None = _derived(
        "distill: the teacher's share of the loss; derived: 0.5"
    )
    temperature: Annotated[float, Field(allow_inf_nan=False, ge=0.1, le=10)] | None = _derived(
        "distill: of both models; derived: 1"
    )
    beta: Annotated[float, Field(allow_inf_nan=False, gt=0, le=100)] | None = _derived(
        "dpo: how strongly the base model holds; derived: 0.1"
    )
    total_steps: _Count | None = _derived("optimizer steps; derived: what `minutes` allow at the speed of the size")
    total_tokens: Annotated[int, Field(ge=1, le=10**15)] | None = _derived(
        "instead of `total_steps`: tokens to read, in whole batches"
    )
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = _derived(
        "windows per optimizer step, over all workers; derived: by size"
    )
    micro_batch: Annotated[int, Field(ge=1, le=100_000)] | None = _derived(
        "windows that a worker computes at once, so that gradients are accumulated over batch_size / (workers x "
        "micro_batch) parts; derived: what the memory holds"
    )
    optimizer: Literal["muon", "adamw"] | None = _derived(
        "of the matrices of the blocks; AdamW moves all other weights, and adapters; derived: muon, adamw for finetune"
    )
    matrix_lr: _Rate | None = _derived("of what Muon moves; derived: 0.02, finetune 0.001, dpo 0.0001")
    adam_lr: _Rate | None = _derived(
        "of what AdamW moves; derived: 0.01, adapters 0.0005, all weights "
        "of a finetune 0.0001 (beside Muon 0.0005), dpo a tenth of these"
    )
    weight_decay: Annotated[float, Field(allow_inf_nan=False, ge=0, le=10)] | None = _derived(
        "derived: 0.1, finetune 0"
    )
    grad_clip: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)] | None = _derived(
        "norm to which gradients are cut; derived: 1"
    )
    warmup_steps: _Steps | None = _derived("derived: a tenth of the steps, 20 at most")
    decay_start: _Steps | None = _derived(
        "step at which the rates begin to fall, total_steps: never; derived: at 60 %, for cosine after the warm-up"
    )
    decay: Literal["linear", "cosine"] | None = _derived("how the rates fall to 5 %; derived: linear")
    vocab_size: Annotated[int, Field(ge=300, le=65_536)] | None = _derived("entries of the tokenizer; derived: by size")
    context_length: Annotated[int, Field(ge=16, le=131_072)] | None = _derived(
        "tokens of a window; derived: by size, as the lengths of the data are only known when they are encoded. "
        "`ropewalk show RUN` then tells how many conversations were cut, and which window would hold 99 % of them"
    )
    hidden_size: Annotated[int, Field(ge=8, le=16_384)] | None = _derived("width; derived: by size")
    num_layers: Annotated[int, Field(ge=1, le=256)] | None = _derived("blocks; derived: by size")
    num_heads: Annotated[int, Field(ge=1, le=256)] | None = _derived("derived: hidden_size / head_dim")
    num_kv_heads: Annotated[int, Field(ge=1, le=256)] | None = _derived("derived: half of num_heads")
    head_dim: Annotated[int, Field(ge=2, le=512, multiple_of=2)] | None = _derived("derived: by size")
    intermediate_size: Annotated[int, Field(ge=8, le=65_536)] | None = _derived("derived: 3 x hidden_size")
    compile: bool | None = _derived("compile the blocks; derived: on a GPU without adapters, and only there")
    activation_checkpointing: bool | None = _derived(
        "compute the inside of a block again in the backward pass, which takes less memory and a third more time; "
        "derived: false"
    )
    document_masks: bool | None = _derived(
        "attention does not leave a document, and conversations share windows; derived: finetune true, else false"
    )
    checkpoint_every: _Count | None = _derived("steps between two checkpoints; derived: a thirtieth of all, 5 at least")
    keep_checkpoints: Annotated[int, Field(ge=2, le=1000)] | None = _derived("so many of the newest stay; derived: 3")
    keep_history: Annotated[int, Field(ge=0, le=64)] | None = _derived(
        "of so many doublings of steps (the newest), the first checkpoint stays; derived: 3"
    )
    keep_best: Annotated[int, Field(ge=0, le=1000)] | None = _derived(
        "so many of the lowest validation loss stay; derived: 1"
    )
    validate_every: _Steps | None = _derived(
        "steps between two looks at the loss on held-out windows, 0: never; derived: a twentieth of all, 10 at least"
    )
    patience: _Steps | None = _derived(
        "stop after so many looks at the held-out windows in a row without a lower loss, 0: never; derived: 0"
    )
    early_stop: _Steps | None = _derived(
        "stop after so many validations of checkpoints in a row without a lower loss, 0: never; they are measured "
        "beside the training and cost no step, so that it stops some steps later; derived: 0"
    )
    export: Literal["last", "best"] | None = _derived(
        "which checkpoint becomes the model. best: that of the lowest validation loss; derived: last, with early_stop "
        "best"
    )
    sample_prompts: Annotated[tuple[_Prompt, ...], Field(max_length=8)] | None = _derived(
        "beginnings that the model goes on with whenever the loss on held-out windows is looked at; derived: none"
    )
    lora_rank: Annotated[int, Field(ge=1, le=1024)] | None = _derived("derived: 8")
    lora_alpha: Annotated[int, Field(ge=1, le=4096)] | None = _derived("derived: twice lora_rank")
    lora_targets: Annotated[tuple[_Target, ...], Field(min_length=1, max_length=7)] | None = _derived(
        "matrices that get an adapter; derived: all seven of a block"
    )

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were not left out."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _check_one_length(self) -> Self:
        if self.total_steps is not None and self.total_tokens is not None:
            raise ValueError(
                f"total_steps is {self.total_steps} and total_tokens is {self.total_tokens}: give one of them"
            )
        return self

    def conflict(self, adapter: str, device: str, *, has_base: bool) -> str:
        """One sentence if what was given cannot go with the rest of the recipe; empty: it can."""
        given = self.given
        if has_base and (name := next((name for name in SHAPE_FIELDS if name in given), "")):
            return f"training.{name} is {given[name]} but the shape is that of base_model: remove it"
        if adapter == "full" and (name := next((each for each in LORA_FIELDS if each in given), "")):
            return f"training.{name} is {given[name]!r} but adapter is {adapter!r}: set adapter to 'lora' or 'dora'"
        if self.patience and self.validate_every == 0:
            return f"training.patience is {self.patience} but training.validate_every is 0: give it a number of steps"
        if self.patience and self.early_stop:
            return (
                f"training.patience is {self.patience} and training.early_stop is {self.early_stop}: patience counts "
                "looks in the training, early_stop validations beside it, so give one of them"
            )
        if self.keep_best == 0 and (self.export or ("best" if self.early_stop else "last")) == "best":
            return (
                "training.keep_best is 0 but the checkpoint with the lowest validation loss is to be exported, which "
                "would be pruned: set keep_best to 1 or more, or training.export to 'last'"
            )
        if self.objective == "dpo" and (self.early_stop or self.export == "best"):
            return (
                "training.objective is 'dpo' but early_stop or export asks for the lowest validation loss, which says "
                "how likely answers are and not which of two is preferred: leave them out"
            )
        if self.compile and device != "cuda":
            return f"training.compile is true but device is {device!r}: set device to 'cuda', or remove it"
        if self.compile and adapter != "full":  # on an H100 with torch 2.11 compiled adapters got no gradients
            return f"training.compile is true but adapter is {adapter!r}, which is not compiled: remove it"
        return ""
