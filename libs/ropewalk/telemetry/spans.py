"""Traces and metrics in OpenTelemetry's terms, and the W3C trace context that travels with every message.

Without an OTLP endpoint nothing of OpenTelemetry is imported and no thread is started; only the context is passed
on, so a service that exports still sees one trace per run behind one that does not. The exporting half is in `otlp`.
"""

import hashlib
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Literal, Protocol, Self

AttributeValue = str | int | float | bool
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]

# The names of OpenTelemetry's conventions for what callers say in plain words. The gen_ai conventions are still in
# development: a rename is one line here. A word that is not listed is exported as `ropewalk.<word>`.
ATTRIBUTE_NAMES: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "token_type": "gen_ai.token.type",
    "error_type": "error.type",
    "status_code": "http.response.status_code",
    "route": "http.route",
    "subject": "messaging.destination.name",
    "message_id": "messaging.message.id",
    "run_id": "ropewalk.run.id",
    "checkpoint_id": "ropewalk.checkpoint.id",
    "dataset_version": "ropewalk.dataset.version",
}

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_current: ContextVar[str] = ContextVar("ropewalk_traceparent", default="")


class RunningSpan(Protocol):
    """A span that an exporter has begun."""

    traceparent: str

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes, in exported names."""

    def end(self, error: BaseException | None) -> None:
        """Finish the span; an error marks it as failed."""


class Exporter(Protocol):
    """Where spans and measurements go. `otlp.OtlpExporter` is the real one."""

    def begin(
        self, name: str, parent: str, root_trace: int, kind: SpanKind, attributes: Mapping[str, AttributeValue]
    ) -> RunningSpan:
        """Begin a span below `parent`, or as a root of trace `root_trace` (0: a new trace)."""

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Add to a counter."""

    def record(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Add an observation to a histogram."""

    def gauge(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Set a present value."""

    def shutdown(self) -> None:
        """Send what is left and stop."""


_exporter: Exporter | None = None


def install(exporter: Exporter | None) -> None:
    """Send everything to `exporter` from now on; None ends the export."""
    global _exporter
    if _exporter is not None:
        _exporter.shutdown()
    _exporter = exporter


def shutdown() -> None:
    """Send what is left and stop. Spans begun afterwards only pass the context on."""
    install(None)


class Span:
    """One piece of work; a context manager. May be left in another task than it was entered in (streams do that)."""

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_previous", "_running")

    def __init__(self, name: str, parent: str, kind: SpanKind, attributes: Mapping[str, AttributeValue]) -> None:
        self._name = name
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._running: RunningSpan | None = None

    def __enter__(self) -> Self:
        self._previous = previous = _current.get()
        run_id = str(self._attributes.get("run_id", ""))
        parent = self._parent if self._parent and _TRACEPARENT(self._parent) else previous
        if _exporter is not None:
            root_trace = 0 if parent or not run_id else int(traceparent_of_run(run_id)[3:35], 16)
            self._running = _exporter.begin(self._name, parent, root_trace, self._kind, _named(self._attributes))
            parent = self._running.traceparent
        elif not parent and run_id:
            parent = traceparent_of_run(run_id)
        _current.set(parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.set(self._previous)
        if self._running is not None:
            self._running.end(error)

    def set(self, **attributes: AttributeValue) -> None:
        """Add what is known only later, for example `output_tokens`."""
        if self._running is not None:
            self._running.set(_named(attributes))


def span(name: str, *, traceparent: str = "", kind: SpanKind = "internal", **attributes: AttributeValue) -> Span:
    """A span around a `with` block, below `traceparent` or else below the active one.

    Where there is neither, a `run_id` among the attributes chooses the trace: every service derives the same trace
    id from the same run. A malformed `traceparent` (anybody may publish one) counts as none.
    """
    return Span(name, traceparent, kind, attributes)


class child_of:
    """Make `traceparent` the active context without a span of its own: for threads and child processes."""

    __slots__ = ("_previous", "_traceparent")

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent if _TRACEPARENT(traceparent) else ""

    def __enter__(self) -> None:
        self._previous = _current.get()
        _current.set(self._traceparent or self._previous)

    def __exit__(self, *_: object) -> None:
        _current.set(self._previous)


def current_traceparent() -> str:
    """The W3C `traceparent` to send along; empty outside of any span."""
    return _current.get()


@lru_cache(maxsize=1024)
def traceparent_of_run(run_id: str) -> str:
    """The trace of a run where no context came along: its ids are the SHA-256 of the run id, so all services agree."""
    digest = hashlib.sha256(run_id.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def count(name: str, value: float = 1, **attributes: AttributeValue) -> None:
    """Add to a counter."""
    if _exporter is not None:
        _exporter.count(name, value, _named(attributes))


def record(name: str, value: float, **attributes: AttributeValue) -> None:
    """Add an observation to a histogram. Durations are in seconds."""
    if _exporter is not None:
        _exporter.record(name, value, _named(attributes))


def gauge(name: str, value: float, **attributes: AttributeValue) -> None:
    """Set a present value: how much waits, how old it is."""
    if _exporter is not None:
        _exporter.gauge(name, value, _named(attributes))


def is_exporting() -> bool:
    """Whether anybody gets what is measured; looking for measurements that cost something is worth it only then."""
    return _exporter is not None


def _named(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {_exported_name(word): value for word, value in attributes.items()}


def _exported_name(word: str) -> str:
    return ATTRIBUTE_NAMES.get(word) or (word if "." in word else f"ropewalk.{word}")
