"""The AsyncAPI document: well-formed, complete, and true about what travels."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from ropewalk.admin.contracts import CONTRACTS, SERVICE_USERS
from ropewalk.events.asyncapi import address, document
from ropewalk.events.base import Message
from ropewalk.events.registry import MESSAGE_TYPES

GOLDEN = Path(__file__).parents[2] / "golden" / "events"

REFERENCE = {
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
TAGS = {"type": "array", "items": {"type": "object", "required": ["name"]}, "uniqueItems": True}
# What the AsyncAPI 3.0.0 specification requires of the objects we use.
ASYNCAPI_3 = {
    "type": "object",
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "additionalProperties": False,
            "properties": {
                "title": {"type": "string"},
                "version": {"type": "string"},
                "description": {"type": "string"},
                "license": {"type": "object", "required": ["name"]},
                "tags": TAGS,
            },
        },
        "defaultContentType": {"type": "string"},
        "servers": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["host", "protocol"],
                "additionalProperties": False,
                "properties": {
                    "host": {"type": "string"},
                    "protocol": {"type": "string"},
                    "pathname": {"type": "string"},
                    "description": {"type": "string"},
                    "variables": {"type": "object"},
                },
            },
        },
        "channels": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "address": {"type": ["string", "null"]},
                    "description": {"type": "string"},
                    "messages": {"type": "object", "additionalProperties": REFERENCE, "minProperties": 1},
                    "parameters": {
                        "type": "object",
                        "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
                        "additionalProperties": {"type": "object"},
                    },
                },
            },
        },
        "operations": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "items": REFERENCE},
                    "tags": TAGS,
                    "reply": {
                        "type": "object",
                        "properties": {"channel": REFERENCE, "messages": {"type": "array", "items": REFERENCE}},
                    },
                },
            },
        },
        "components": {
            "type": "object",
            "additionalProperties": {"type": "object", "propertyNames": {"pattern": r"^[A-Za-z0-9._-]+$"}},
        },
    },
}


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return document()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The document as it is published: with what services are asked on `ctl.*`, which FastStream describes."""
    return json.loads((Path(__file__).parents[3] / "docs" / "asyncapi.json").read_text())


def references(node: object) -> list[str]:
    """Every `$ref` below a node."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for item in node.values() for found in references(item)]


def resolve(api: dict[str, Any], reference: str) -> Any:
    node: Any = api
    for token in reference.removeprefix("#/").split("/"):
        node = node[token]
    return node


def test_the_document_is_asyncapi_3(api: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(ASYNCAPI_3)
    assert [error.message for error in validator.iter_errors(api)] == []
    assert not validator.is_valid({**api, "asyncapi": "2.6.0"})


def test_another_implementation_reads_the_document(api: dict[str, Any]) -> None:
    read = ApplicationSchema.model_validate(api)
    assert set(read.channels) == set(api["channels"])
    assert set(read.operations or {}) == set(api["operations"])


def test_the_document_is_json(api: dict[str, Any]) -> None:
    assert json.loads(json.dumps(api, allow_nan=False)) == api


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    found = references(api)
    assert len(found) > 4 * len(MESSAGE_TYPES)
    for reference in found:
        assert resolve(api, reference) is not None


def test_every_message_type_has_a_channel_and_an_operation(api: dict[str, Any]) -> None:
    assert {channel["address"] for channel in api["channels"].values()} == {address(kind) for kind in MESSAGE_TYPES}
    assert len(api["operations"]) == len(MESSAGE_TYPES)


def test_addresses_are_the_subjects_messages_are_published_on(api: dict[str, Any]) -> None:
    for kind in MESSAGE_TYPES:
        message = kind.model_validate_json((GOLDEN / f"{kind.type_name().removeprefix('ropewalk.')}.json").read_bytes())
        values = {"run_id": message.run_id, "stage": getattr(message, "stage", ""), kind.about: message.entity}
        assert address(kind).format(**values) == message.subject


def test_requests_are_received_and_everything_else_is_sent(api: dict[str, Any]) -> None:
    for operation in api["operations"].values():
        is_request = resolve(api, operation["channel"]["$ref"])["address"].startswith("cmd.")
        assert operation["action"] == ("receive" if is_request else "send")


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.type_name())
def test_a_golden_sample_fits_the_payload_schema(api: dict[str, Any], kind: type[Message]) -> None:
    sample = json.loads((GOLDEN / f"{kind.type_name().removeprefix('ropewalk.')}.json").read_text())
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(api))
    payload = {"$ref": f"urn:api{api['components']['messages'][kind.__name__]['payload']['$ref']}"}
    validator = jsonschema.Draft202012Validator(payload, registry=registry)
    validator.validate(sample)
    of_nothing = {name: value for name, value in sample.items() if name != kind.about}
    assert not validator.is_valid(of_nothing)


def test_the_published_document_has_every_question_with_its_body_and_its_answer(page: dict[str, Any]) -> None:
    jsonschema.validate(page, ASYNCAPI_3, jsonschema.Draft202012Validator)
    assert all(resolve(page, reference) is not None for reference in references(page))
    asked = [operation for operation in page["operations"].values() if {"name": "ctl"} in operation["tags"]]
    subjects = {resolve(page, operation["channel"]["$ref"])["address"].replace("{name}", "*") for operation in asked}
    assert subjects == {f"ctl.ping.{service}" for service in SERVICE_USERS} | {
        subject for contract in CONTRACTS.values() for subject in contract.answers
    }
    payload = resolve(page, page["components"]["messages"]["ctl.projection.v1.Question"]["payload"]["$ref"])
    assert set(payload["properties"]) == {"limit", "status", "before", "every", "sequence", "offset"}
    (answer,) = page["operations"]["receive.ctl.status"]["reply"]["messages"]
    message = resolve(page, resolve(page, answer["$ref"])["$ref"])
    assert set(resolve(page, message["payload"]["$ref"])["properties"]) == {"seen", "problems"}
