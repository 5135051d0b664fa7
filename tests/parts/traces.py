"""Reads traces from the file that an OpenTelemetry collector writes: a line per request, in OTLP's JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Span:
    """A span with what its resource says about the process."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float
    attributes: dict[str, Any]
    links: tuple[str, ...]  # trace ids
    resource: dict[str, Any] = field(repr=False)

    @property
    def service(self) -> str:
        return str(self.resource["service.name"])


def spans_in(files: Iterable[Path]) -> Iterator[Span]:
    """Every span of the files. A last line that is still being written is left out."""
    for path in files:
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield from _spans(json.loads(line))


def orphans(spans: Iterable[Span]) -> list[Span]:
    """The spans whose parent is none of them."""
    spans = list(spans)
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in known]


def _spans(request: dict[str, Any]) -> Iterator[Span]:
    for resource_spans in request["resourceSpans"]:
        resource = _plain(resource_spans["resource"].get("attributes", ()))
        for span in (span for scope in resource_spans["scopeSpans"] for span in scope["spans"]):
            yield Span(
                name=span["name"],
                trace_id=span["traceId"],
                span_id=span["spanId"],
                parent_id=span.get("parentSpanId", ""),
                seconds=(int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
                attributes=_plain(span.get("attributes", ())),
                links=tuple(link["traceId"] for link in span.get("links", ())),
                resource=resource,
            )


def _plain(attributes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {attribute["key"]: next(iter(attribute["value"].values()), None) for attribute in attributes}
