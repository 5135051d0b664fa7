"""The serving family: model versions, traffic, and one row per request."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Growing, Message, Plane, Request, Value


class _Family(Value):
    family: ClassVar[str] = "serving"


class RetireModel(_Family, Request):
    """Take a model version off the endpoint, the one in production too. Its run id is that of the run that made it."""

    name: ClassVar[str] = "retire"
    model: str = Field(max_length=40)
    model_version: int = Field(ge=1)


class ModelDeploying(_Family, Event):
    """Serving began to load a model version."""

    name: ClassVar[str] = "deploying"
    model: str
    model_version: int
    checkpoint_id: str


class ModelDeployed(_Family, Event):
    """A model version answers under `<model>@<version>`, beside the one in production."""

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


class ServingFailed(_Family, Event):
    """A model version could not be brought up; what served before still serves."""

    name: ClassVar[str] = "failed"
    model: str
    model_version: int
    message: str


class TrafficShifted(_Family, Event):
    """The alias now points to `model_version` (`previous_version` 0 = none before)."""

    name: ClassVar[str] = "traffic_shifted"
    model: str
    alias: str
    model_version: int
    previous_version: int
    checkpoint_id: str


class ModelRetired(_Family, Event):
    """A model version was unloaded."""

    name: ClassVar[str] = "retired"
    model: str
    model_version: int


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


class RequestLogBatch(_Family, Message):
    """Packed request logs of one model version, in the order they ended."""

    plane: ClassVar[Plane] = "log"
    family: ClassVar[str] = "infer"
    name: ClassVar[str] = "batch"
    rows: tuple[RequestLog, ...]
