"""The monitoring family: signals, alarms, costs.

What grows with the traffic (the signals) is telemetry; the log gets only what changes: baselines, alarms and their end.
"""

from typing import ClassVar

from pydantic import Field

from ropewalk.events.base import Event, Message, Plane, Request, Value, VersionNumber


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
    """The state of one signal after a window of requests. Nobody says this any more: SignalsComputed does."""

    name: ClassVar[str] = "signal_computed"
    model: str
    model_version: int
    signal: str
    num_requests: int
    statistic: float
    threshold: float


class SignalState(Value):
    """How far one signal is from an alarm, which comes at the threshold."""

    signal: str
    statistic: float
    threshold: float


class SignalsComputed(_Family, Message):
    """The states of all signals of a model version after a window of requests; `time` is that of its last one."""

    plane: ClassVar[Plane] = "tel"
    name: ClassVar[str] = "signals"
    model: str
    model_version: int
    num_requests: int
    time: str
    signals: tuple[SignalState, ...]


class AlarmRaised(_Family, Event):
    """A signal left its baseline, or the level of the alarm before.

    `false_alarm_rate` is the promised rate per request. Each signal numbers its alarms, from 1; one of them is open at
    a time.
    """

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
    number: int = 1


class AlarmCleared(_Family, Event):
    """The signal returned, moved on to the next alarm, or somebody set a new baseline."""

    name: ClassVar[str] = "alarm_cleared"
    alarm_id: str
    model: str
    reason: str
    model_version: int = 0
    signal: str = ""
    cleared_at: str = ""


class AlarmAcknowledged(_Family, Event):
    """Somebody has seen an alarm and looks after it."""

    name: ClassVar[str] = "alarm_acknowledged"
    alarm_id: str
    by: str
    note: str


class AcknowledgeAlarm(_Family, Request):
    """Say that somebody looks after an alarm. It stays open until its signal returns or is rebaselined."""

    name: ClassVar[str] = "acknowledge"
    alarm_id: str = Field(max_length=400)
    by: str = Field(default="", max_length=64)
    note: str = Field(default="", max_length=500)


class Rebaseline(_Family, Request):
    """Take the next requests of a model version as its baseline, for one signal or (empty) for all of them."""

    name: ClassVar[str] = "rebaseline"
    model: str = Field(max_length=200)
    model_version: VersionNumber
    signal: str = Field(default="", max_length=64)
    by: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=500)


class CostRecorded(_Family, Event):
    """What a stage used, priced."""

    name: ClassVar[str] = "cost_recorded"
    stage: str
    epoch: int
    seconds: float
    cpu_seconds: float
    usd: float
    usd_per_cpu_hour: float
    gpu_seconds: float = 0.0
    gpu_kind: str = ""
    usd_per_gpu_hour: float = 0.0
