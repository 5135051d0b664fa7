"""The monitoring family: signals, alarms, costs."""

from typing import ClassVar

from ropewalk.events.base import Event, Value


class _Family(Value):
    family: ClassVar[str] = "monitoring"


class BaselineSealed(_Family, Event):
    """The reference of a model version is complete; from here on its signals are watched."""

    name: ClassVar[str] = "baseline_sealed"
    model: str
    model_version: int
    num_requests: int
    signals: tuple[str, ...]


class SignalComputed(_Family, Event):
    """The state of one signal after a window of requests."""

    name: ClassVar[str] = "signal_computed"
    model: str
    model_version: int
    signal: str
    num_requests: int
    statistic: float
    threshold: float


class AlarmRaised(_Family, Event):
    """A signal left its baseline. `false_alarm_rate` is the promised rate per request."""

    name: ClassVar[str] = "alarm_raised"
    alarm_id: str
    model: str
    model_version: int
    signal: str
    statistic: float
    threshold: float
    false_alarm_rate: float
    changed_at: str
    detected_at: str
    num_requests: int
    baseline_mean: float
    current_mean: float
    detail: str


class AlarmCleared(_Family, Event):
    """Somebody set a new baseline, or the signal returned."""

    name: ClassVar[str] = "alarm_cleared"
    alarm_id: str
    model: str
    reason: str


class CostRecorded(_Family, Event):
    """What a stage used, priced."""

    name: ClassVar[str] = "cost_recorded"
    stage: str
    epoch: int
    seconds: float
    cpu_seconds: float
    usd: float
    usd_per_cpu_hour: float
