"""The task set family: what models are asked, as data. Its messages are about a task set, whatever runs there are."""

from typing import ClassVar

from pydantic import Field

from ropewalk.events.base import RUN_ID_PATTERN, AboutOther, Event, Request, Value, VersionNumber

_CONTENT_PATTERN = r"^[a-z0-9]{1,64}$"


class _Family(Value):
    family: ClassVar[str] = "task_set"
    about: ClassVar[str] = "task_set_id"
    task_set_id: str = Field(pattern=RUN_ID_PATTERN)
    version: VersionNumber
    content: str = Field(pattern=_CONTENT_PATTERN, description="hash of definition and items: where the store has them")


class RegisterTaskSet(_Family, AboutOther, Request):
    """Somebody put a version of a task set into the store and asks for it to be known."""

    name: ClassVar[str] = "register"


class FreezeTaskSet(_Family, AboutOther, Request):
    """Somebody asks that a version never changes again."""

    name: ClassVar[str] = "freeze"


class TaskSetRegistered(_Family, AboutOther, Event):
    """A version of a task set was read in the store and is sound. Until it is frozen another content may follow."""

    name: ClassVar[str] = "registered"
    kind: str = Field(description="mc, generate, rolling, schema, code, judge or pairwise")
    use_case: str
    licence: str
    metrics: tuple[str, ...]
    primary: str = Field(description="the metric whose gain decides; empty: none does")
    guardrails: tuple[str, ...] = Field(description="metrics in which a candidate must not lose")
    num_items: int
    num_clusters: int
    splits: dict[str, int] = Field(description="items in each of dev, calibration and gate")


class TaskSetFrozen(_Family, AboutOther, Event):
    """This content is the version for good: it may be named in a recipe, and no run trains on its items."""

    name: ClassVar[str] = "frozen"
