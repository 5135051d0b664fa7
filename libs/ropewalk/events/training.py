"""The training family: search, steps, and what went wrong on the way."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Growing, Message, Plane, Value


class _Family(Value):
    family: ClassVar[str] = "training"


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


class TrainingStarted(_Family, Event):
    """A worker group began to step from `resume_step` (0 = from scratch).

    `device` is what it computes on and in which precision, and why that is not what the recipe asks for.
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
    """The last step is in checkpoint `checkpoint_id`."""

    name: ClassVar[str] = "completed"
    checkpoint_id: str
    uri: str
    step: int
    loss: float
    tokens: int
    seconds: float
    stopped_by: str = Field(default="", description="the cap that ended it early; empty: it took all its steps")


class TrainingFailed(_Family, Event):
    """Training gave up. Nobody says this: RunFailed does. It stays because the released contract has it."""

    name: ClassVar[str] = "failed"
    cause: str
    message: str


class StepMetrics(Value):
    """One optimizer step as seen by rank 0. Durations in seconds."""

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


class StepMetricsBatch(_Family, Message):
    """Packed step metrics."""

    plane: ClassVar[Plane] = "tel"
    name: ClassVar[str] = "steps"
    rows: tuple[StepMetrics, ...]
