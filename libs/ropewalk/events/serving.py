"""The serving family: model versions, traffic, and one row per request."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ropewalk.events.base import Event, Growing, Message, Plane, Request, Value, VersionNumber


class _Family(Value):
    family: ClassVar[str] = "serving"


class RetireModel(_Family, Request):
    """Take a model version off the endpoint, the one in production too. Its run id is that of the run that made it."""

    name: ClassVar[str] = "retire"
    model: str = Field(max_length=40)
    model_version: VersionNumber


class ModelDeploying(_Family, Event):
    """Serving began to load a model version."""

    name: ClassVar[str] = "deploying"
    model: str
    model_version: int
    checkpoint_id: str


class ModelDeployed(_Family, Event):
    """A model version answers under `<model>@<version>`, beside the one in production.

    `backend` is the kind of what answers, `backend_address` where it is, `backend_model` the version's name there.
    `again`: it was superseded and somebody went back to it; nothing about it is decided anew.
    """

    name: ClassVar[str] = "deployed"
    model: str
    model_version: int
    checkpoint_id: str
    checkpoint_uri: str
    export_uri: str
    evaluation_uri: str
    openai_url: str
    triton_grpc: str
    triton_model: str
    load_s: float
    backend: str = ""
    backend_address: str = ""
    backend_model: str = ""
    again: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_triton(cls, fields: Any) -> Any:
        """Until there were kinds of backends, all was Triton; its two fields still say so to readers of that time."""
        if not isinstance(fields, dict) or fields.get("backend"):
            return fields
        address, model = fields.get("triton_grpc", ""), fields.get("triton_model", "")
        return fields | {"backend": "triton", "backend_address": address, "backend_model": model}


class ServingFailed(_Family, Event):
    """A model version could not be brought up; what served before still serves."""

    name: ClassVar[str] = "failed"
    model: str
    model_version: int
    message: str


class RouteTarget(Value):
    """One of the model versions behind an alias, and its share of the keys: its weight out of the sum of weights."""

    model_version: int = Field(ge=1)
    weight: int = Field(default=1, ge=1, le=1_000_000)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_bool(cls, number: Any) -> Any:
        # Text is read: protobuf's JSON writes every int64 as text.
        if isinstance(number, bool):
            raise ValueError("true and false are no numbers: give a whole number from 1")
        return number


class TrafficShifted(_Family, Event):
    """The alias now points to `targets`, of which `model_version` is the heaviest (`previous_version` 0 = none before).

    A fact without targets, as they were before there were weights, has one of weight 1.
    """

    name: ClassVar[str] = "traffic_shifted"
    model: str
    alias: str
    model_version: int
    previous_version: int
    checkpoint_id: str
    targets: tuple[RouteTarget, ...] = Field(default=(), max_length=16)

    @model_validator(mode="before")
    @classmethod
    def _to_one(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or fields.get("targets") or "model_version" not in fields:
            return fields
        return fields | {"targets": ({"model_version": fields["model_version"]},)}

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        weights = {target.model_version: target.weight for target in self.targets}
        if len(weights) < len(self.targets):
            raise ValueError("targets name a version twice: name each once, with its whole weight")
        if weights.get(self.model_version) != max(weights.values()):
            raise ValueError(f"model_version {self.model_version} is not the heaviest of targets: name the heaviest")
        return self


class ModelRetired(_Family, Event):
    """A model version was unloaded. One that only lost its alias to another (`superseded`) may come back."""

    name: ClassVar[str] = "retired"
    model: str
    model_version: int
    superseded: bool = False


class BackendRepaired(_Family, Event):
    """The inference backend of a model hung or died and was loaded anew."""

    name: ClassVar[str] = "backend_repaired"
    model: str
    model_version: int
    cause: str
    seconds: float


class RequestLog(Value):
    """One inference. Times in milliseconds, `time` is RFC 3339 with milliseconds in UTC."""

    time: str
    request_id: str
    trace_id: str
    key_id: str
    model: str
    model_version: int
    run_id: str
    checkpoint_id: str
    route: Annotated[Literal["completions", "chat", "unknown"], Growing]
    status: int
    finish_reason: str
    stream: bool
    latency_ms: float
    ttft_ms: float
    prompt_tokens: int
    completion_tokens: int
    prompt: str
    completion: str
    logprob_mean: float
    error: str
    backend: str = ""  # the kind that the version is on; empty: the request reached none


class RequestLogBatch(_Family, Message):
    """Packed request logs of one model version, in the order they ended."""

    plane: ClassVar[Plane] = "log"
    family: ClassVar[str] = "infer"
    name: ClassVar[str] = "batch"
    rows: tuple[RequestLog, ...]
