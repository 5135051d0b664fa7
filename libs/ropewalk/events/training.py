"""The training family: search, steps, and what went wrong on the way."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Growing, Message, Plane, Value

_SHOWN = 10  # samples in a sentence


class _Family(Value):
    family: ClassVar[str] = "training"


class TimeAccount(Value):
    """Where the seconds of a training went, each of them those of every rank. They sum to `wall_s`.

    `compile_s` has start and load of the first workers, `restart_s` those of later ones and the time until a loss was
    noticed. `checkpoint_s` is the time that steps lost, not the length of a call. `mfu` is over the data-sheet rate of
    the devices, `gemm_mfu` over that of a large product measured there; 0 where not known.
    """

    wall_s: float = 0.0
    step_s: float = 0.0
    data_s: float = 0.0
    checkpoint_s: float = 0.0
    compile_s: float = 0.0
    restart_s: float = 0.0
    replay_s: float = 0.0
    evaluate_s: float = 0.0
    idle_s: float = 0.0
    num_steps: int = 0
    mfu: float = 0.0
    gemm_mfu: float = 0.0


class RungReached(_Family, Event):
    """A trial of the search trained to a rung: the search's journal, from which it goes on after a kill.

    `loss` is the mean over the rung's last fifth (no number: it failed); its checkpoint lies at `uri` (empty: none).
    """

    name: ClassVar[str] = "rung_reached"
    trial: int
    rung: int
    num_steps: int
    loss: float
    uri: str = ""
    seconds: float = 0.0
    detail: str = ""


class TrialCompleted(_Family, Event):
    """One trial of the hyper-parameter search ended."""

    name: ClassVar[str] = "trial_completed"
    trial: int
    status: Annotated[Literal["complete", "pruned", "failed", "unknown"], Growing]
    params: dict[str, float]
    loss: float
    num_steps: int
    seconds: float


class SearchCompleted(_Family, Event):
    """The search chose `params` (empty if the recipe asked for no trials)."""

    name: ClassVar[str] = "search_completed"
    num_trials: int
    params: dict[str, float]
    loss: float


class TrainingQuoted(_Family, Event):
    """What a training is expected to take and to reach, said before it begins. Each bound is of a 90 % interval.

    `loss` is in nats per token like that of TrainingCompleted; 0: no law knows this kind of training.
    """

    name: ClassVar[str] = "quoted"
    seconds: float
    seconds_low: float
    seconds_high: float
    usd: float
    usd_low: float
    usd_high: float
    loss: float = 0.0
    loss_low: float = 0.0
    loss_high: float = 0.0
    tokens: int = 0
    remark: str = ""


class TrainingStarted(_Family, Event):
    """A worker group began to step from `resume_step` (0 = from scratch).

    `device` is what it computes on and in which precision, and why that is not what the recipe asks for. The rates
    are those of one worker's device, in operations a second: the data sheet's, and a large product's measured now.
    """

    name: ClassVar[str] = "started"
    epoch: int
    attempt: int
    strategy: str
    num_workers: int
    worker_pids: tuple[int, ...]
    total_steps: int
    resume_step: int
    num_parameters: int
    device: str = ""
    flops_per_token: float = 0.0
    peak_flops: float = 0.0
    gemm_flops: float = 0.0


class TrainingProgressed(_Family, Event):
    """A sign of life for people; the full step metrics travel on `tel`."""

    name: ClassVar[str] = "progressed"
    epoch: int
    step: int
    total_steps: int
    loss: float
    tokens: int
    tokens_per_s: float
    seconds_left: float
    account: TimeAccount = Field(default=TimeAccount(), description="of the run so far, over all attempts")


class TrainingSample(Value):
    """What a model in training went on with, the likeliest token each time."""

    prompt: str
    text: str


class TrainingValidated(_Family, Event):
    """The loss on held-out windows, always the same ones, after `step` steps, in nats per token.

    A step may be looked at again after a loss of workers; the last word counts.
    """

    name: ClassVar[str] = "validated"
    epoch: int
    step: int
    loss: float
    best_step: int
    best_loss: float
    num_tokens: int
    samples: tuple[TrainingSample, ...] = ()


class StepsCommitted(_Family, Event):
    """Steps first..last (both included) are in a whole checkpoint.

    `uri` is the ledger file with the sample ids that each of these steps consumed, `sha256` its hash.
    """

    name: ClassVar[str] = "steps_committed"
    epoch: int
    first_step: int
    last_step: int
    num_samples: int
    sha256: str
    uri: str
    checkpoint_id: str


class StepSkipped(_Family, Event):
    """An update was not applied (non-finite loss or gradient, or a spike)."""

    name: ClassVar[str] = "step_skipped"
    epoch: int
    step: int
    reason: str


class SamplesLeftOut(_Family, Event):
    """These samples ended the process that learned from them in `step`, every time; nobody reads them from here on.

    `samples` names the first 100 of `num_samples`. All are in state.json of later checkpoints, as `left_out`.
    """

    name: ClassVar[str] = "samples_left_out"
    epoch: int
    attempt: int
    step: int
    samples: tuple[int, ...]
    num_samples: int

    @property
    def in_words(self) -> str:
        """The first few by number."""
        more = self.num_samples - len(self.samples[:_SHOWN])
        return f"samples {', '.join(map(str, self.samples[:_SHOWN]))}" + (f" and {more} more" if more > 0 else "")


class TrainingRolledBack(_Family, Event):
    """The weights had gone bad by `step`; the same workers go on from `resume_step` (0 = from scratch)."""

    name: ClassVar[str] = "rolled_back"
    epoch: int
    attempt: int
    step: int
    resume_step: int
    checkpoint_id: str
    reason: str


class TrainingInterrupted(_Family, Event):
    """The worker group died at about `last_step`; `cause` classifies it. The post-mortem is as complete as could be."""

    name: ClassVar[str] = "interrupted"
    epoch: int
    attempt: int
    cause: str
    last_step: int
    detail: str
    ranks: tuple[int, ...] = Field(default=(), description="those that brought it about; empty: not known")
    phase: str = Field(default="", description="what they did")
    last_steps: tuple[int, ...] = Field(default=(), description="by rank: the step each was in; empty: not known")
    stacks_uri: str = Field(default="", description="key of a folder with the stacks of all ranks")
    seconds_lost: float = Field(default=0.0, description="of work since that checkpoint, to be done again")
    checkpoint_id: str = Field(default="", description="the newest checkpoint; empty: there was none")


class StragglerFound(_Family, Event):
    """One rank works at `speed` times that of the others since `since_step`, and they wait for it. Training goes on."""

    name: ClassVar[str] = "straggler_found"
    epoch: int
    attempt: int
    rank: int
    speed: float
    since_step: int
    step: int


class TrainingResumed(_Family, Event):
    """A new worker group took its first step. `seconds_lost` runs from the loss to that step."""

    name: ClassVar[str] = "resumed"
    epoch: int
    attempt: int
    resume_step: int
    checkpoint_id: str
    seconds_lost: float


class TrainingCompleted(_Family, Event):
    """Training ended with checkpoint `checkpoint_id`, which has `step` steps.

    `num_steps` were taken: more than `step`, if it was stopped early for its best checkpoint; 0: not told.
    """

    name: ClassVar[str] = "completed"
    checkpoint_id: str
    uri: str
    step: int
    loss: float
    tokens: int
    seconds: float
    stopped_by: str = Field(default="", description="cap or patience that ended it early; empty: it took all its steps")
    account: TimeAccount = Field(default=TimeAccount(), description="of the whole training, over all attempts")
    num_steps: int = 0


class TrainingFailed(_Family, Event):
    """Training gave up. Nobody says this: RunFailed does. It stays because the released contract has it."""

    name: ClassVar[str] = "failed"
    cause: str
    message: str


class StepMetrics(Value):
    """One optimizer step as seen by rank 0. Durations in seconds; all together they reach back to the row before.

    `data_s` (of the rank that waited longest) and `compile_s` are parts of `step_s`. `saving`: a checkpoint was being
    written meanwhile.
    """

    time_unix: float
    attempt: int
    step: int
    loss: float
    grad_norm: float
    lr: float
    tokens: int
    step_s: float
    data_s: float
    checkpoint_s: float
    compile_s: float = 0.0
    evaluate_s: float = 0.0
    other_s: float = 0.0
    saving: bool = False


class StepMetricsBatch(_Family, Message):
    """Packed step metrics."""

    plane: ClassVar[Plane] = "tel"
    name: ClassVar[str] = "steps"
    rows: tuple[StepMetrics, ...]
