"""Spans around work, and the W3C trace context that travels in the headers of every message.

A run is one trace, whose id follows from the run id. What handles a message begins a span without a parent in that
trace and links it to the span that sent the message: a parent in another process may never be exported, since that
process can be killed first, and its children would be orphans. Only within a process, and below a client that asks and
waits, a span has a parent.

Everything goes through OpenTelemetry's API. Without an OTLP endpoint its tracer records nothing and only passes the
context on, so a service that exports still sees one trace per run behind one that does not.
"""

import hashlib
import re
from functools import lru_cache
from types import TracebackType
from typing import Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from ropewalk.telemetry.names import named

_TRACE_ID = contexts.create_key("ropewalk-trace-id")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_tracer: trace.Tracer = trace.NoOpTracer()


def trace_with(tracer: trace.Tracer) -> None:
    """Begin spans with this tracer from now on."""
    global _tracer
    _tracer = tracer


class span:
    """A span around a `with` block, below `traceparent` (who waits for it) or else below the active one.

    With a `cause` (the `traceparent` of a message, or "") it has no parent and is linked to the cause instead. A
    `run_id` among the attributes of a span without a parent chooses the trace: every service derives the same trace id
    from the same run. A malformed `traceparent` (anybody may publish one) counts as none. The block may be left in
    another task than it was entered in, as streams are.
    """

    __slots__ = ("_attributes", "_cause", "_kind", "_name", "_previous", "_running", "_traceparent")

    def __init__(
        self,
        name: str,
        *,
        traceparent: str = "",
        cause: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        **attributes: AttributeValue,
    ) -> None:
        self._name = name
        self._traceparent = traceparent
        self._cause = cause
        self._kind = kind
        self._attributes = attributes

    def __enter__(self) -> Self:
        self._previous = contexts.get_current()  # put back at the end, whichever task that is in
        context = _context_of(self._traceparent) or self._previous
        if self._cause is not None or not trace.get_current_span(context).get_span_context().is_valid:
            context = _root(str(self._attributes.get("run_id", "")), self._cause or "")
        self._running = _tracer.start_span(self._name, context, self._kind, links=_links(self._cause or ""))
        if self._running.is_recording():
            self._running.set_attributes(named(self._attributes))
            context = trace.set_span_in_context(self._running, context)
        contexts.attach(context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        contexts.attach(self._previous)  # not `detach`, which another task may not call
        if error is not None:
            self._running.set_attribute("error.type", type(error).__qualname__)
            self._running.set_status(trace.StatusCode.ERROR)  # its text may quote a prompt or a secret
        self._running.end()

    def set(self, **attributes: AttributeValue) -> None:
        """Add what is known only later, for example `output_tokens`."""
        if self._running.is_recording():
            self._running.set_attributes(named(attributes))


def current_traceparent() -> str:
    """The W3C `traceparent` to send along; empty outside of any span."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return ""
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


@lru_cache(maxsize=1024)
def traceparent_of_run(run_id: str) -> str:
    """The trace of a run where no context came along: its ids are the SHA-256 of the run id, so all services agree."""
    digest = hashlib.sha256(run_id.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def chosen_trace_id() -> int | None:
    """The trace id that a root span begun now takes; None for any."""
    chosen = contexts.get_value(_TRACE_ID)
    return chosen if isinstance(chosen, int) else None


def _root(run_id: str, cause: str) -> Context:
    """Where a span without a parent begins: the SDK makes a root in the chosen trace, others only pass it on."""
    origin = _context_of(traceparent_of_run(run_id) if run_id else cause)
    if origin is None or isinstance(_tracer, trace.NoOpTracer):
        return origin or Context()
    root = contexts.set_value(_TRACE_ID, trace.get_current_span(origin).get_span_context().trace_id, Context())
    contexts.attach(root)  # the SDK asks for the trace id of a root without saying in which context
    return root


def _links(cause: str) -> list[trace.Link]:
    origin = _context_of(cause)
    return [] if origin is None else [trace.Link(trace.get_current_span(origin).get_span_context())]


@lru_cache(maxsize=1024)
def _context_of(traceparent: str) -> Context | None:
    """The context of a parent elsewhere, None for a malformed one. The API's own reader takes three times as long."""
    if not _TRACEPARENT(traceparent):
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    parent = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
