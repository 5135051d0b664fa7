"""The drill family: faults that somebody caused on purpose, and how the platform took them.

`run_id` is the run that the drill was played on, or the drill's own id if it was played on none.
"""

from typing import ClassVar

from pydantic import Field

from ropewalk.events.base import Event, Value


class _Family(Value):
    family: ClassVar[str] = "drill"


class DrillStarted(_Family, Event):
    """A fault is about to be caused. The time of this event in the log is what later times are measured from."""

    name: ClassVar[str] = "started"
    drill_id: str
    drill: str
    target: str
    seed: int = 0


class DrillProbed(_Family, Event):
    """A numbered message that nobody acts on. It shows whether the log accepts, keeps and orders what it is sent."""

    name: ClassVar[str] = "probed"
    drill_id: str
    number: int


class DrillCheck(Value):
    """One thing that was checked, and what was found."""

    name: str
    passed: bool
    detail: str


class DrillCompleted(_Family, Event):
    """The scorecard of a drill. A time that never came is NaN."""

    name: ClassVar[str] = "completed"
    drill_id: str
    drill: str
    target: str
    seed: int = 0
    passed: bool
    reason: str
    detect_s: float = Field(description="seconds from the fault to the first sign that it was noticed")
    recover_s: float = Field(description="seconds from the fault to working again")
    lost: int = Field(description="steps, requests or messages lost, as `lost_unit` says")
    lost_unit: str
    doubled: int = Field(description="effects that are in the log more than once")
    checks: tuple[DrillCheck, ...]
    first_sequence: int = Field(description="where in the log the drill began")
    last_sequence: int = Field(description="where it was judged")
