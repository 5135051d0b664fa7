"""The evaluation family: estimates with their uncertainty, and the gate's decision."""

from typing import ClassVar, Literal

from ropewalk.events.base import Event, Value


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
