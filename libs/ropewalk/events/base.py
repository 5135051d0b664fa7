"""What every message on the bus has in common.

The wire format is the JSON that pydantic writes. Three rules keep it equal to protobuf's JSON mapping:
NaN and infinities are the strings "NaN", "Infinity" and "-Infinity"; bytes are base64; integers are accepted
as strings (protobuf writes 64-bit integers so).
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

Plane = Literal["cmd", "evt", "state", "tel", "log"]

RUN_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def _word_or_unknown(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        if not isinstance(value, str):
            raise
        return validate("unknown")


Growing = WrapValidator(_word_or_unknown)
"""Marks an enumeration with the word `unknown` in it: an old reader reads a word it does not know as that one.

Only for facts that nobody acts on. Where a reader decides by the word, an unknown one is a dead letter, which is
retried once the reader knows it.
"""

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""The number of a model version in a request, which comes from outside."""


class Value(BaseModel):
    """A frozen value inside a message. Unknown fields are ignored, so an old reader reads a newer writer."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_inf_nan="strings",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


class Message(Value):
    """A value with a place on the bus: `<plane>.<family>.<name>.v<major>.<id of what it is about>`.

    Most messages are about a run. One about something else (a stage, a model, a key) is an `AboutOther`.
    """

    plane: ClassVar[Plane]
    family: ClassVar[str]
    name: ClassVar[str]
    major: ClassVar[int] = 1
    about: ClassVar[str] = "run_id"  # the field that holds the id of what it is about
    once_per_run: ClassVar[bool] = False  # then a second one of a run gets the id of the first, whatever its cause

    run_id: str = Field(pattern=RUN_ID_PATTERN)

    @classmethod
    @cache
    def subject_prefix(cls) -> str:
        """The subject without its last token, the id of what the message is about."""
        return f"{cls.plane}.{cls.family}.{cls.name}.v{cls.major}"

    @classmethod
    @cache
    def type_name(cls) -> str:
        """The CloudEvents type, for example `ropewalk.evt.data.dataset_published.v1`."""
        return f"ropewalk.{cls.subject_prefix()}"

    @property
    def entity(self) -> str:
        """The id of what it is about: the last token of its subject."""
        return str(getattr(self, self.about))

    @property
    def subject(self) -> str:
        """The full subject this message is published on."""
        return f"{self.subject_prefix()}.{self.entity}"


class AboutOther(Message):
    """A message about something else than a run; `about` names the field with its id, of the form of a run id.

    `run_id` is the run from which it follows, if it follows from one.
    """

    run_id: str = Field(default="", pattern=f"^$|{RUN_ID_PATTERN}")


class Request(Message):
    """An imperative message with one consumer."""

    plane: ClassVar[Plane] = "cmd"


class Event(Message):
    """A past-tense fact. Any number of services may react to it."""

    plane: ClassVar[Plane] = "evt"


M = TypeVar("M", bound=Message)


def last_of(messages: Sequence[Message], kind: type[M]) -> M | None:
    """The newest message of a kind, in the order of the log; None if there is none."""
    return next((message for message in reversed(messages) if isinstance(message, kind)), None)
