"""The evaluation family: estimates with their uncertainty, and the gate's decision."""

from typing import ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Value

NOT_KNOWN = -1


class _Family(Value):
    family: ClassVar[str] = "evaluation"


class Estimate(Value):
    """A metric with its interval. `method` names how the interval was made, `num_items` its sample size."""

    metric: str
    value: float
    lower: float
    upper: float
    level: float
    num_items: int
    method: str
    subject: str = ""


class EvaluationStarted(_Family, Event):
    """The evaluator began with a checkpoint's export."""

    name: ClassVar[str] = "started"
    checkpoint_id: str


class EvaluationCompleted(_Family, Event):
    """All metrics of a checkpoint. The report at `uri` has every item's score."""

    name: ClassVar[str] = "completed"
    checkpoint_id: str
    uri: str
    estimates: tuple[Estimate, ...]
    num_held_out: int = Field(default=0, description="held-out documents of the run's dataset")
    num_seen_by_opponent: int = Field(
        default=NOT_KNOWN,
        description="those of them that the opponent learnt from, in none of the numbers; -1: not known",
    )


class GateDecided(_Family, Event):
    """May this checkpoint go into production? `comparison` is the paired difference it rests on."""

    name: ClassVar[str] = "gate_decided"
    checkpoint_id: str
    export_uri: str
    evaluation_uri: str
    decision: Literal["promote", "reject", "need_more"]
    reasons: tuple[str, ...]
    baseline: str
    comparison: Estimate
