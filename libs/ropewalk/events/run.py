"""The run family: a run is one execution of one recipe."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from ropewalk.events.base import RUN_ID_PATTERN, AboutOther, Event, Growing, Message, Plane, Request, Value
from ropewalk.events.resources import Resources

MAX_DEADLINE_S = 10 * 365 * 86_400.0  # clocks, timers and the tables count in ways that end some time

StageStatus = Literal["queued", "running", "done", "failed", "cancelled"]
EndingKind = Literal["completed", "failed", "cancelled", "rejected"]


class _Family(Value):
    family: ClassVar[str] = "run"


class SubmitRun(_Family, Request):
    """Start a run. `recipe` is a recipe as JSON; `{"base": "python-stdlib"}` is a complete one."""

    name: ClassVar[str] = "submit"
    recipe: dict[str, JsonValue]
    priority: int = Field(default=0, ge=-10_000, le=10_000, description="a run with a higher number is served first")
    owner: str = Field(
        default="", max_length=64, description="who shares fairly: among equal priorities, owners take turns"
    )
    deadline_s: float = Field(
        default=0.0,
        ge=0,
        le=MAX_DEADLINE_S,
        allow_inf_nan=False,
        description="seconds from now after which the run fails; more than 29 days are refused, 0: never",
    )


class CancelRun(_Family, Request):
    """Stop a run: at its next checkpoint, or now."""

    name: ClassVar[str] = "cancel"
    mode: Literal["checkpoint", "now"] = "checkpoint"
    reason: str = Field(default="", max_length=2000)


class PauseRun(_Family, Request):
    """Let a run in training save, leave its place and wait until it is resumed."""

    name: ClassVar[str] = "pause"
    reason: str = Field(default="", max_length=2000)


class ResumeRun(_Family, Request):
    """Let a paused run go on: it stands in line again, behind those that wait."""

    name: ClassVar[str] = "resume"


class RunAccepted(_Family, Event):
    """The recipe is sound; `recipe` is now complete (every derived value filled in) and frozen."""

    name: ClassVar[str] = "accepted"
    once_per_run: ClassVar[bool] = True  # two requests at once for one run must not start it twice
    recipe: dict[str, JsonValue]
    recipe_sha256: str
    priority: int = 0
    owner: str = ""
    deadline_unix: float = Field(default=0.0, description="seconds since 1970 after which the run fails; 0: never")
    base_licence: str = Field(default="", description="of the imported model that it begins with; empty: not known")


class RunRejected(_Family, Event):
    """The recipe cannot be run. Each violation names the field, the value and the remedy."""

    name: ClassVar[str] = "rejected"
    violations: tuple[str, ...]


class RunCompleted(_Family, Event):
    """The run reached its end. `outcome` says whether its model went into production; `judged`: it was not to."""

    name: ClassVar[str] = "completed"
    outcome: Annotated[Literal["promoted", "rejected", "need_more", "judged", "unknown"], Growing]
    model: str = ""
    model_version: int = 0


class RunFailed(_Family, Event):
    """The run stopped for good in `stage`; `message` is one sentence for its owner."""

    name: ClassVar[str] = "failed"
    stage: str
    message: str


class RunCancelled(_Family, Event):
    """Somebody cancelled the run. Every service stops its stage of it."""

    name: ClassVar[str] = "cancelled"
    mode: Literal["checkpoint", "now"]
    reason: str = ""


class RunPaused(_Family, Event):
    """A run is to wait: its stage saves, leaves its pool and is not started until `RunResumed`."""

    name: ClassVar[str] = "paused"
    stage: str
    at_unix: float = Field(description="when, in seconds since 1970")
    reason: str = ""


class RunResumed(_Family, Event):
    """A paused run goes on."""

    name: ClassVar[str] = "resumed"
    stage: str
    deadline_unix: float = Field(
        default=0.0, description="seconds since 1970 after which the run fails, moved by the pause; 0: never"
    )


class StageQueued(_Family, Resources, Event):
    """A stage waits for capacity. Its turn comes by priority, then fair share among owners, then age."""

    name: ClassVar[str] = "stage_queued"
    stage: str
    pool: str
    capacity: float = Field(default=0.0, description="CPUs of the whole pool; 0: not told")
    room: Resources = Field(default=Resources(), description="the whole pool, its CPUs too")


class StageStarted(_Family, Event):
    """A service took the lease of a stage. `epoch` is the fencing epoch of that lease."""

    name: ClassVar[str] = "stage_started"
    stage: str
    epoch: int
    attempt: int = 1


class StageCompleted(_Family, Event):
    """A stage ended well. Resources are those of all its processes."""

    name: ClassVar[str] = "stage_completed"
    stage: str
    epoch: int
    seconds: float
    cpu_seconds: float = 0.0
    gpu_seconds: float = Field(default=0.0, description="GPUs times the seconds that they were held")
    gpu_kind: str = ""


class StageInterrupted(_Family, Event):
    """A stage lost its service or was put off; it will be tried again."""

    name: ClassVar[str] = "stage_interrupted"
    stage: str
    epoch: int
    cause: str


class StageStalled(_Family, Event):
    """A stage showed no progress for `silent_s` although its lease is alive; it is ended and tried again."""

    name: ClassVar[str] = "stage_stalled"
    stage: str
    epoch: int
    silent_s: float


class StageState(_Family, Resources, Message):
    """The compare-and-set snapshot of one stage of one run."""

    plane: ClassVar[Plane] = "state"
    name: ClassVar[str] = "stage"
    stage: str
    status: StageStatus
    epoch: int
    attempt: int
    operation_id: str = Field(description="id of the commit that wrote this snapshot")
    cause_id: str = Field(description="id of the event that asked for the stage")
    cause_type: str = Field(description="CloudEvents type of that event")
    cause_body: str = Field(description="its JSON, so that any instance can take the stage over")
    traceparent: str = ""
    priority: int = 0
    owner: str = ""
    pool: str = Field(default="", description="the pool whose capacity it uses or waits for; empty: it needs none")
    deadline_unix: float = Field(default=0.0, description="seconds since 1970 after which the run fails; 0: never")
    retries: dict[str, int] = Field(default_factory=dict, description="attempts used up so far, by cause")
    paused: bool = Field(default=False, description="queued, but in no line until the run is resumed")

    @property
    def subject(self) -> str:
        return stage_state_subject(self.stage, self.run_id)


def stage_state_subject(stage: str, run_id: str) -> str:
    """Where the snapshot of a stage lives."""
    return f"state.run.{stage}.v1.{run_id}"


class PoolEntry(Resources):
    """A stage in a pool. `ticket` counts up with every entry, so it orders by age."""

    stage: str
    run_id: str
    owner: str = ""
    priority: int = 0
    ticket: int
    running: bool = False


class PoolState(_Family, Message):
    """Who uses and who waits for the capacity of a pool. Its id is that of the pool, not of a run.

    Written by compare-and-set in the same commit as the stage's own state, so that no two instances can give the
    same capacity away.
    """

    plane: ClassVar[Plane] = "state"
    name: ClassVar[str] = "pool"
    capacity: float = Field(description="CPUs that stages may use together, as the last writer declared it")
    room: Resources = Field(default=Resources(), description="all that they may use together, the CPUs too")
    next_ticket: int = 1
    entries: tuple[PoolEntry, ...] = ()
    operation_id: str = Field(description="id of the commit that wrote this snapshot")


class StageCapacity(_Family, AboutOther):
    """How large the pools are in which a stage may run.

    A service declares its pools before it takes messages, so that a recipe which no pool can hold is refused at once.
    """

    plane: ClassVar[Plane] = "state"
    name: ClassVar[str] = "capacity"
    major: ClassVar[int] = 2  # the first one held the stage in `run_id`
    about: ClassVar[str] = "stage"
    stage: str = Field(pattern=RUN_ID_PATTERN)
    pools: dict[str, float] = Field(description="CPUs of each pool, as the last service that started declared them")
    operation_id: str = Field(description="id of the change that wrote this snapshot")
    rooms: dict[str, Resources] = Field(default_factory=dict, description="all that each has, its CPUs too")

    @property
    def sizes(self) -> dict[str, Resources]:
        """What each pool has; of one that an older service declared only the CPUs are known."""
        return {name: self.rooms.get(name, Resources(cpus=cpus)) for name, cpus in self.pools.items()}


class RunEnding(_Family, Message):
    """Written once per run, in the commit of its terminal event: so there is exactly one."""

    plane: ClassVar[Plane] = "state"
    name: ClassVar[str] = "ending"
    kind: EndingKind
    event_id: str = Field(description="id of the terminal event")
