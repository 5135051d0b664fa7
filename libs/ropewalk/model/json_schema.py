"""How large a JSON schema may be that an answer is held to. `engine_grammar` holds answers to it. No torch here."""

import json
from collections.abc import Mapping
from typing import Any

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


def why_too_large(schema: Mapping[str, Any]) -> str:
    """Which bound a decoded schema exceeds, and by how much; empty if none."""
    if (depth := _depth(schema)) > MAX_SCHEMA_DEPTH:
        return f"it is nested {depth} levels deep, at most {MAX_SCHEMA_DEPTH} are followed"
    if (size := len(schema_text(schema).encode())) > MAX_SCHEMA_BYTES:
        return f"it has {size:,} bytes as JSON, at most {MAX_SCHEMA_BYTES:,} are followed"
    return ""


def schema_text(schema: Mapping[str, Any]) -> str:
    """The schema as compact JSON, its keys in the order in which they were given: answers follow it."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _depth(value: Any) -> int:
    """Objects and lists one in another; level by level, for the deepest would end a recursion."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, Mapping | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, Mapping) else one)]
    return depth
