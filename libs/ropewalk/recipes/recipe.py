"""The recipe: what to do. Where things are is `settings`, not here."""

import hashlib
import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, JsonValue, ValidationError, field_validator, model_validator

from ropewalk.errors import RopewalkError
from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.events.resources import Resources
from ropewalk.recipes.caps import CapsRecipe
from ropewalk.recipes.formats import CHOICES, PROMPTED
from ropewalk.recipes.frozen import Frozen
from ropewalk.recipes.judgement import EvaluationRecipe, PromotionRecipe
from ropewalk.recipes.objective import ObjectivePlan, objective_conflict
from ropewalk.recipes.sentences import sentences_of
from ropewalk.recipes.task import MAX_PROMPT, TaskRecipe, with_task_prompt
from ropewalk.recipes.training import LORA_TARGETS, Adapter, TrainingRecipe

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[CHOICES]  # the words of the registry, which no type checker can know

_Number = Annotated[float, Field(allow_inf_nan=False)]


class RecipeError(RopewalkError, ValueError):
    """A recipe cannot be run. `violations` are sentences that name the field, the value and the remedy."""

    def __init__(self, violations: tuple[str, ...]) -> None:
        super().__init__("; ".join(violations))
        self.violations = violations

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each violation."""
        return self.violations


class SourceRecipe(Frozen):
    """Where documents come from, and under which licence. Without a licence nothing is ingested."""

    path: str = Field(min_length=1, max_length=4096, description="file, folder: text, code, JSONL, .gz, .zst, Parquet")
    licence: str = Field(
        min_length=1,
        max_length=200,
        validation_alias=AliasChoices("licence", "license"),
        description="SPDX identifier, for example PSF-2.0 or LicenseRef-internal",
    )
    format: FormatName = Field(
        default="auto",
        description="chat: records with a `messages` list; examples: records with `input` and `output`; inputs: with "
        "`input`, which the base model answers; preferences: with `chosen` and `rejected`; text: every file as it is; "
        "auto: by name",
    )
    include: tuple[str, ...] = Field(default=("**/*",), max_length=200, description="glob patterns below the folder")
    exclude: tuple[str, ...] = Field(default=(), max_length=200, description="glob patterns to leave out")
    text_field: str = Field(
        default="text",
        min_length=1,
        max_length=200,
        description="the field of a record, or column, that holds the text",
    )
    key_field: str = Field(
        default="",
        max_length=200,
        description="the field of a record that says what belongs together: records with the same value in it "
        "are held out together or not at all; empty: the content decides, of examples and preferences the input alone",
    )
    system: str = Field(
        default="",
        max_length=MAX_PROMPT,
        description="examples, preferences: a turn of the system before each; the recipe fills in its `task.prompt`",
    )
    weight: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e6)] | None = Field(
        default=None,
        description="share of the windows that are read, relative to the other sources', which then need one too; "
        "left out: by size",
    )
    epochs: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)] | None = Field(
        default=None,
        description="passes over this source at most; without weights a source is read in proportion "
        "to its passes; left out: without end",
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, given: Any) -> Any:
        """A text alone is a path, so that what is still missing is said of a source and not of a text."""
        return {"path": given} if isinstance(given, str) else given

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _one_pattern(cls, given: Any) -> Any:
        """One pattern need not stand in a list."""
        return [given] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _check_system(self) -> Self:
        if self.system and self.format not in PROMPTED:
            raise ValueError(f"system is given but format is {self.format!r}: set format to 'examples', or remove it")
        return self

    @property
    def has_share(self) -> bool:
        """Whether it says how much of it is read."""
        return self.weight is not None or self.epochs is not None

    @property
    def unsaid(self) -> set[str]:
        """Fields that do not travel: recipes of before there were any keep their identity."""
        return (set() if self.has_share else {"weight", "epochs"}) | (set() if self.system else {"system"})

    @property
    def source_id(self) -> str:
        """The same source record always has the same id, however much of it is read."""
        fields = self.model_dump(mode="json", exclude={"weight", "epochs"})
        if not self.key_field:
            del fields["key_field"]  # a source of before there was one keeps its id
        if not self.system:
            del fields["system"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


class Plan(ObjectivePlan):
    """Everything derived from the dial. Shown by `ropewalk submit --dry-run`, frozen when the run is accepted."""

    vocab_size: int = Field(ge=1, le=10_000_000, description="entries of the tokenizer")
    context_length: int = Field(ge=16, le=131_072, description="tokens")
    hidden_size: int = Field(ge=8, le=16_384, description="width of a layer")
    num_layers: int = Field(ge=1, le=256, description="blocks, one after the other")
    num_heads: int = Field(ge=1, le=256, description="attention heads")
    num_kv_heads: int = Field(ge=1, le=256, description="heads of keys and values, which the others share")
    head_dim: int = Field(ge=2, le=512, multiple_of=2, description="width of a head")
    intermediate_size: int = Field(ge=8, le=65_536, description="width of the feed-forward part")
    batch_size: int = Field(ge=1, le=100_000, description="windows per optimizer step, over all workers")
    total_steps: int = Field(ge=1, le=100_000_000, description="optimizer steps")
    warmup_steps: int = Field(ge=0, le=100_000_000, description="steps in which the learning rate rises")
    decay_start: int = Field(
        ge=0, le=100_000_000, description="the step at which the learning rate begins to fall, to 5 %"
    )
    matrix_lr: _Number = Field(gt=0, le=10, description="Muon, of the matrices of the blocks; the search scales both")
    adam_lr: _Number = Field(gt=0, le=10, description="AdamW, of all other weights")
    weight_decay: _Number = Field(ge=0, le=10, description="of matrices, a step, times the learning rate")
    grad_clip: _Number = Field(gt=0, le=1e6, description="norm to which gradients are cut")
    checkpoint_every: int = Field(ge=1, le=100_000_000, description="steps")
    keep_checkpoints: int = Field(ge=2, le=1000, description="so many of the newest stay")
    keep_history: int = Field(default=0, ge=0, le=64, description="of so many doublings of steps, the first one stays")
    keep_best: int = Field(default=0, ge=0, le=1000, description="so many of the lowest validation loss stay")
    trial_steps: int = Field(ge=1, le=100_000_000, description="steps of the longest search trial")
    usd_per_cpu_hour: _Number = Field(ge=0, le=1e6, description="price used for the estimate of cost")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="of the workers")
    precision: Literal["fp32", "bf16", "fp8"] = Field(default="fp32", description="of the products of matrices")
    usd_per_gpu_hour: _Number = Field(default=0.0, ge=0, le=1e6, description="of the kind that is asked for")
    decay: Literal["linear", "cosine"] = Field(default="linear", description="how the learning rate falls")
    micro_batch: int = Field(default=0, ge=0, le=100_000, description="windows at once; 0: what the memory holds")
    compile: bool = Field(default=True, description="whether a GPU's blocks are compiled")
    activation_checkpointing: bool = Field(default=False, description="whether the backward pass computes blocks again")
    document_masks: bool = Field(default=False, description="whether attention stays within a document")
    validate_every: int = Field(default=0, ge=0, le=100_000_000, description="steps; 0: never")
    validation_windows: int = Field(default=0, ge=0, le=100_000, description="held-out windows that are looked at")
    patience: int = Field(default=0, ge=0, le=100_000_000, description="looks without a lower loss; 0: without end")
    early_stop: int = Field(default=0, ge=0, le=100_000_000, description="validations without a lower loss; 0: no end")
    export: Literal["last", "best"] = Field(default="last", description="which checkpoint becomes the model")
    sample_prompts: tuple[str, ...] = Field(default=(), max_length=8, description="that the model goes on with")
    lora_rank: int = Field(default=8, ge=1, le=1024, description="of the adapters")
    lora_alpha: int = Field(default=16, ge=1, le=4096, description="an adapter counts alpha / rank")
    lora_targets: tuple[str, ...] = Field(default=LORA_TARGETS, max_length=7, description="matrices with an adapter")
    strategy: Literal["single", "ddp", "fsdp", "zero1", "zero2", "zero3"] = Field(
        default="fsdp", description="how workers share the training, if the recipe names no way itself"
    )

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is no multiple of num_kv_heads {self.num_kv_heads}")
        return self

    @property
    def tokens_per_step(self) -> int:
        """That all workers together learn from in a step, at most."""
        return self.batch_size * self.context_length


class Recipe(Frozen):
    """What to do. `plan` is empty until `dial.complete` filled it."""

    name: str = Field(default="custom", pattern=r"^[a-z0-9_-]{1,40}$", description="what runs and models are called by")
    mode: Literal["pretrain", "finetune"] = Field(
        default="pretrain",
        description="finetune: `base_model` learns from examples; pretrain: from nothing, or `base_model` reads on",
    )
    sources: tuple[SourceRecipe, ...] = Field(min_length=1, max_length=200)
    profile: Literal["code", "prose"] = Field(default="prose", description="which quality filters apply")
    size: Literal["tiny", "nano", "micro", "small", "base"] = Field(default="nano", description="shape of the model")
    minutes: float = Field(default=3.0, gt=0, le=100_000, description="training time on two CPU cores, the budget")
    strategy: Literal["auto", "ddp", "fsdp", "zero1", "zero2", "zero3", "deepspeed"] = Field(
        default="auto",
        description="how workers share the training. ddp: each holds the whole model; fsdp: a slice of it; zero1, "
        "zero2, zero3: DeepSpeed's slices of the optimizer, the gradients too, the weights too (deepspeed: zero2); "
        "auto: ddp if the model fits, else fsdp",
    )
    replicas: int = Field(
        default=1, ge=1, le=1024, description="fsdp: so many groups of workers each hold the model, in slices"
    )
    offload: bool = Field(default=False, description="zero1, zero2, zero3 on cuda: optimizer in the machine's memory")
    num_workers: int = Field(default=2, ge=1, le=1024, description="processes that train together, a CPU each")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="cuda: a GPU for each worker; auto: cpu")
    gpu_kind: str = Field(default="", pattern=r"^[a-z0-9_-]{0,40}$", description="`h100` for example; empty: any")
    precision: Literal["auto", "fp32", "bf16", "fp8"] = Field(
        default="auto", description="of the products of matrices; auto: fp32 on cpu, bf16 on cuda"
    )
    deterministic: bool = Field(
        default=False, description="the same bits in every repetition on a GPU too, for about a tenth of its speed"
    )
    trials: int = Field(default=0, ge=0, le=1000, description="search trials; 0 takes the derived learning rates")
    base_model: str = Field(default="", max_length=4096, description="to begin with: an import, a folder or hub id")
    adapter: Adapter = Field(default="full", description="finetune: which weights move")
    seed: int = Field(default=17, ge=-(2**63), lt=2**63, description="of everything that is drawn by chance")
    evaluation: EvaluationRecipe = EvaluationRecipe()
    promotion: PromotionRecipe = PromotionRecipe()
    training: TrainingRecipe = TrainingRecipe()
    task: TaskRecipe | None = Field(default=None, description="finetune: the one job that is baked into the model")
    extends: str = Field(
        default="",
        max_length=200,
        pattern=rf"^({RUN_ID_PATTERN[1:-1]}-(0|[1-9][0-9]{{0,11}})-[1-9][0-9]{{0,11}})?$",
        description="id of another run's checkpoint to go on from, exactly; `ropewalk submit --extend` fills it in",
    )
    caps: CapsRecipe = CapsRecipe()
    plan: Plan | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, given: Any) -> Any:
        """One source need not stand in a list. Examples are read behind the task's prompt, as it will be asked."""
        if not isinstance(given, dict):
            return given
        if isinstance(given.get("sources"), str | dict):
            given = {**given, "sources": [given["sources"]]}
        return with_task_prompt(given)

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if self.mode == "finetune" and not self.base_model:
            raise ValueError("mode is 'finetune' but base_model is empty: name an import, a folder or a hub id")
        if self.adapter != "full" and not self.base_model:
            raise ValueError(f"adapter is {self.adapter!r} but base_model is empty: name the model that gets adapters")
        if self.task is not None and self.mode != "finetune":
            raise ValueError(f"task is given but mode is {self.mode!r}: set mode to 'finetune'")
        if self.evaluation.curve and self.task is None:
            raise ValueError("evaluation.curve is true but there is no task, whose examples it is about: leave it out")
        if self.task and (other := [each.system for each in self.sources if each.system not in ("", self.task.prompt)]):
            raise ValueError(f"a source has the system {quoted(other[0])}, and task.prompt is another: leave it out")
        return self

    @model_validator(mode="after")
    def _check_mixture(self) -> Self:
        weights = [source.weight for source in self.sources]
        if None in weights and any(weight is not None for weight in weights):
            number = weights.index(None)
            raise ValueError(f"sources.{number} has no weight but others have: give each source one, or none")
        if not any(weights) and None not in weights:
            raise ValueError("the weight of every source is 0: give one at least a weight above 0")
        if self.has_mixture and len({source.source_id for source in self.sources}) < len(weights):
            raise ValueError("a source with a weight or epochs is named twice: name it once")
        return self

    @model_validator(mode="after")
    def _check_device(self) -> Self:
        if self.device != "cuda" and self.precision == "fp8":
            raise ValueError(f"precision is {self.precision!r} but device is {self.device!r}: set device to 'cuda'")
        if self.device != "cuda" and self.gpu_kind:
            raise ValueError(f"gpu_kind is {self.gpu_kind!r} but device is {self.device!r}: set device to 'cuda'")
        return self

    @model_validator(mode="after")
    def _check_training(self) -> Self:
        given, formats = self.training.given, [source.format for source in self.sources]
        if conflict := self.training.conflict(self.adapter, self.device, has_base=self.has_base):
            raise ValueError(conflict)
        if conflict := objective_conflict(given, self.mode, formats, self.task):
            raise ValueError(conflict)
        for name, value in given.items() if self.plan is not None else ():
            if getattr(self.plan, name, value) != value:
                raise ValueError(f"training.{name} is {value!r} but the plan says otherwise: give one of the two")
        return self

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        if self.replicas > 1 and self.strategy != "fsdp":
            raise ValueError(f"replicas is {self.replicas} but strategy is {self.strategy!r}: set strategy to 'fsdp'")
        if self.num_workers % self.replicas:
            raise ValueError(
                f"replicas is {self.replicas}, which does not divide num_workers {self.num_workers}: "
                f"set num_workers to a multiple of {self.replicas}"
            )
        if self.offload and (self.device != "cuda" or self.zero_stage == 0):
            raise ValueError(
                f"offload is true but strategy is {self.strategy!r} on {self.device!r}: set strategy to 'zero1', "
                "'zero2' or 'zero3' and device to 'cuda', or leave offload out"
            )
        return self

    @property
    def zero_stage(self) -> int:
        """Of DeepSpeed; 0 for other strategies."""
        name = self.named_strategy or (self.plan.strategy if self.plan is not None else "")
        return int(name.removeprefix("zero")) if name.startswith("zero") else 0

    @property
    def chosen_strategy(self) -> str:
        """What a complete recipe trains with: the strategy that is named, else the derived one."""
        return self.named_strategy or self.derived.strategy

    @property
    def named_strategy(self) -> str:
        """The strategy that is asked for; empty: none."""
        return {"auto": "", "deepspeed": "zero2"}.get(self.strategy, self.strategy)

    @property
    def model(self) -> str:
        """The name under which the model serves."""
        return self.promotion.model or self.name

    @property
    def has_base(self) -> bool:
        """Whether training begins with the weights, and the data are read with the tokenizer, of another model."""
        return bool(self.base_model)

    @property
    def has_mixture(self) -> bool:
        """Whether sources say how much of them is read; else windows are drawn from all alike."""
        return any(source.has_share for source in self.sources)

    @property
    def mixture(self) -> dict[str, float] | None:
        """What is asked of each source, relative to all: of windows if there are weights, else of its passes."""
        if not self.has_mixture:
            return None
        asked = {
            source.source_id: source.weight if source.weight is not None else source.epochs or 1.0
            for source in self.sources
        }
        return {source_id: round(each / sum(asked.values()), 9) for source_id, each in asked.items()}

    @property
    def base_location(self) -> str:
        """Where the base model lies: a folder, with the home folder spelt out, or a hub id."""
        return os.path.expanduser(self.base_model)

    @property
    def first_step(self) -> int:
        """The first step that this run takes: what it extends has taken those before."""
        return int(self.extends.rpartition("-")[2] or 0)

    @property
    def derived(self) -> Plan:
        """The plan of a complete recipe."""
        assert self.plan is not None, "the recipe was not completed"
        return self.plan

    @property
    def training_needs(self) -> Resources:
        """What the workers of a complete recipe take from a pool: a CPU each, and on cuda a GPU each."""
        gpus = self.num_workers if self.derived.device == "cuda" else 0
        return Resources(cpus=self.num_workers, gpus=gpus, gpu_kind=self.gpu_kind)

    @property
    def usd_per_hour(self) -> float:
        """What the workers of a complete recipe cost, at the prices of its plan."""
        needs, plan = self.training_needs, self.derived
        return needs.cpus * plan.usd_per_cpu_hour + needs.gpus * plan.usd_per_gpu_hour

    def sha256(self) -> str:
        """The identity of a run: the hash of the recipe's canonical JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, JsonValue]:
        """The recipe as it travels in events. What `training`, or the share of a source, leaves out is not in it."""
        unsaid: dict[str, Any] = {name: getattr(self, name).unsaid for name in ("evaluation", "promotion")}
        unsaid["sources"] = {number: source.unsaid for number, source in enumerate(self.sources)}
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", exclude=unsaid)
        if self.task is None:
            del dumped["task"]
        dumped["training"] = self.training.model_dump(mode="json", exclude_none=True)
        return dumped


def parse_recipe(fields: dict[str, JsonValue]) -> Recipe:
    """Validate a recipe. Raises RecipeError with one sentence per violation."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(sentences_of(error, Recipe)) from None
