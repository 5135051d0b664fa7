"""The run family: a run is one execution of one recipe."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from ropewalk.events.base import Event, Message, Plane, Request, Value

StageStatus = Literal["running", "done", "failed", "cancelled"]


class _Family(Value):
    family: ClassVar[str] = "run"


class SubmitRun(_Family, Request):
    """Start a run. `recipe` is a recipe as JSON; `{"base": "python-stdlib"}` is a complete one."""

    name: ClassVar[str] = "submit"
    recipe: dict[str, JsonValue]


class CancelRun(_Family, Request):
    """Stop a run: at its next checkpoint, or now."""

    name: ClassVar[str] = "cancel"
    mode: Literal["checkpoint", "now"] = "checkpoint"
    reason: str = ""


class RunAccepted(_Family, Event):
    """The recipe is sound; `recipe` is now complete (every derived value filled in) and frozen."""

    name: ClassVar[str] = "accepted"
    recipe: dict[str, JsonValue]
    recipe_sha256: str


class RunRejected(_Family, Event):
    """The recipe cannot be run. Each violation names the field, the value and the remedy."""

    name: ClassVar[str] = "rejected"
    violations: tuple[str, ...]


class RunCompleted(_Family, Event):
    """The run reached its end. `outcome` says whether its model went into production."""

    name: ClassVar[str] = "completed"
    outcome: Literal["promoted", "rejected", "need_more"]
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


class StageInterrupted(_Family, Event):
    """A stage lost its service or was put off; it will be tried again."""

    name: ClassVar[str] = "stage_interrupted"
    stage: str
    epoch: int
    cause: str


class StageState(_Family, Message):
    """The compare-and-set snapshot of one stage of one run. Subject: `state.run.<stage>.v1.<run id>`."""

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

    @property
    def subject(self) -> str:
        return stage_state_subject(self.stage, self.run_id)


def stage_state_subject(stage: str, run_id: str) -> str:
    """Where the snapshot of a stage lives."""
    return f"state.run.{stage}.v1.{run_id}"
