"""The event contract as an AsyncAPI 3.0 document, made from the registry: `ropewalk contracts` prints it.

From the point of view of Ropewalk: it receives requests (`cmd`) and sends everything else.
"""

import inspect
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from ropewalk.events.base import Message, Plane
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.run import StageState
from ropewalk.events.streams import stream_of

_PLANES: dict[Plane, str] = {
    "cmd": "requests, each with one consumer",
    "evt": "facts, for whoever is interested",
    "state": "snapshots of aggregates, written by compare-and-set",
    "tel": "packed step metrics",
    "log": "packed request logs",
}
_HEADERS = {
    "ce-id": "identity of the message; equal to Nats-Msg-Id",
    "ce-type": "CloudEvents type",
    "ce-source": "the service that said it",
    "ce-time": "RFC 3339, UTC",
    "ce-correlationid": "run id, if it has to do with one",
    "ce-subject": "what it is about, for example run/tern-0412",
    "ce-causationid": "ce-id of the message that led to this one",
    "ce-epoch": "fencing epoch of the lease under which it was said",
    "traceparent": "W3C trace context",
}


def document() -> dict[str, Any]:
    """Channels, messages with their JSON schemas, and operations of every message type."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ropewalk",
            "version": version("ropewalk"),
            "description": "Every step from raw text to a watched endpoint is a message on NATS JetStream.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": plane, "description": text} for plane, text in _PLANES.items()],
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}:{port}",
                "pathname": "/",
                "protocol": "nats",
                "description": "`ropewalk status` shows the address of the embedded one",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
            }
        },
        "channels": {_channel_name(kind): _channel(kind) for kind in MESSAGE_TYPES},
        "operations": {_operation_name(kind): _operation(kind) for kind in MESSAGE_TYPES},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in MESSAGE_TYPES},
            "schemas": {**_payloads(), "Headers": _header_schema()},
        },
    }


def address(kind: type[Message]) -> str:
    """The subject of a type, with its parameters in braces."""
    return "state.run.{stage}.v1.{run_id}" if kind is StageState else f"{kind.subject_prefix()}.{{{kind.about}}}"


def _channel_name(kind: type[Message]) -> str:
    return kind.subject_prefix()


def _operation_name(kind: type[Message]) -> str:
    return f"{_action(kind)}.{kind.subject_prefix()}"


def _action(kind: type[Message]) -> str:
    return "receive" if kind.plane == "cmd" else "send"


def _channel(kind: type[Message]) -> dict[str, Any]:
    parameters = {kind.about: {"description": f"the {kind.about.removesuffix('_id')} this is about"}}
    if kind is StageState:
        parameters["stage"] = {"description": "the stage this is the state of"}
    return {
        "address": address(kind),
        "description": f"Stored in the stream {stream_of(kind.subject_prefix())}.",
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "parameters": parameters,
    }


def _operation(kind: type[Message]) -> dict[str, Any]:
    channel = f"#/channels/{_channel_name(kind)}"
    return {
        "action": _action(kind),
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
        "tags": [{"name": kind.plane}],
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    text = inspect.cleandoc(kind.__doc__ or "")
    return {
        "name": kind.type_name(),
        "title": kind.__name__,
        "summary": text.partition("\n")[0],
        "description": text,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "correlationId": {"location": "$message.header#/ce-correlationid"},
    }


def _payloads() -> dict[str, Any]:
    _, schema = models_json_schema(
        [(kind, "validation") for kind in MESSAGE_TYPES], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _header_schema() -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in _HEADERS.items()}
    return {"type": "object", "description": "CloudEvents 1.0, binary mode; all optional.", "properties": properties}
