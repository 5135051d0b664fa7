"""Reads a request of the tensor contract."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ropewalk.events.foreign import one_line, quoted
from ropewalk.model.engine import EngineRequestError
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.json_schema import ANY_OBJECT, schema_text, why_too_large
from ropewalk.serving.adapters.triton_backend.contract import SCHEMA

R = TypeVar("R", bound=BaseModel)
_SAMPLING = {each.name for each in fields(Sampling)}


class _Structured(BaseModel):
    """What the text of `structured_outputs` says, of all that vLLM knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_: dict[str, JsonValue] | None = Field(default=None, alias="json")
    json_object: bool = False


class Parameters(BaseModel):
    """What `sampling_parameters` says. `cancel` names another request; `pulse` asks how the engine is, not for text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: str | list[str] = Field(default_factory=list)
    ignore_eos: bool = False
    return_token_ids: bool = False
    return_logprob_mean: bool = False
    prompt_token_ids: list[int] | None = None
    marks: list[tuple[int, int]] = Field(default_factory=list)
    structured_outputs: str = ""
    cancel: str = ""
    pulse: bool = False


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One request as it came in. `prepend` repeats the prompt before the completion.

    `schema` is the JSON of the schema that the answer follows, or empty.
    """

    text: str
    parameters: Parameters
    sampling: Sampling
    stream: bool
    prepend: bool
    outputs: frozenset[str]
    schema: str


def parse(values: dict[str, Any]) -> Wanted:
    """Read the inputs that are present (str or bool). Raises EngineRequestError naming the field and the value."""
    parameters = _read(Parameters, str(values.get("sampling_parameters") or "{}"), "sampling_parameters")
    text = str(values["text_input"])
    _check_marks(parameters.marks, len(text))
    stream = bool(values.get("stream", False))
    prepend = not values.get("exclude_input_in_output", stream)
    if stream and prepend:
        raise EngineRequestError(
            "exclude_input_in_output is false and stream is true: a stream cannot repeat its prompt"
        )
    optional = {
        "finish_reason": values.get("return_finish_reason"),
        "num_input_tokens": values.get("return_num_input_tokens"),
        "num_output_tokens": values.get("return_num_output_tokens"),
        "token_ids": parameters.return_token_ids,
        "logprob_mean": parameters.return_logprob_mean,
    }
    return Wanted(
        text=text,
        parameters=parameters,
        sampling=_sampling(parameters),
        stream=stream,
        prepend=prepend,
        outputs=frozenset(name for name, wanted in optional.items() if wanted),
        schema=_schema(parameters.structured_outputs),
    )


def _check_marks(marks: list[tuple[int, int]], length: int) -> None:
    """Special tokens are meant in order. Raises EngineRequestError for places that the text does not have."""
    places = [place for mark in marks for place in mark]
    if places != sorted(places) or (places and not 0 <= places[0] <= places[-1] <= length):
        raise EngineRequestError(f"marks are not in order, or not within the {length} characters of text_input")


def _schema(text: str) -> str:
    if not text:
        return ""
    said = _read(_Structured, text, "structured_outputs")
    if (said.schema_ is None) is not said.json_object:
        raise EngineRequestError("structured_outputs has to hold either json, a schema, or json_object, true")
    schema = ANY_OBJECT if said.schema_ is None else said.schema_
    if reason := why_too_large(schema):
        raise EngineRequestError(f"{SCHEMA}: {reason}")
    return schema_text(schema)


def _read(kind: type[R], text: str, name: str) -> R:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or name
        raise EngineRequestError(
            one_line(f"{one_line(field)} is {quoted(first['input'])}: {first['msg']}", 600)
        ) from None


def _sampling(parameters: Parameters) -> Sampling:
    said = parameters.model_dump(include=_SAMPLING)
    stop = (parameters.stop,) if isinstance(parameters.stop, str) else tuple(parameters.stop)
    return Sampling(**said | {"stop": stop, "top_k": max(0, parameters.top_k)})  # vLLM says "all" by -1
