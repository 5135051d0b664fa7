"""A relative path in a recipe is meant from where its author is, not from where a service runs."""

import os
import re
from pathlib import Path

from pydantic import JsonValue

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(path: str) -> str:
    """What a URL begins with, `s3` for example, in small letters; empty for a path."""
    found = _SCHEME.match(path)
    return found[1].lower() if found else ""


def with_absolute_paths(fields: dict[str, JsonValue], folder: Path) -> dict[str, JsonValue]:
    """The fields with every path spelt out from `folder`; what is no path is left to the recipe's own check.

    A base model is a path if it begins with `.`, `~` or `/`, as its documentation says; anything else is a hub id.
    """
    found = dict(fields)
    sources = fields.get("sources")
    if isinstance(sources, list):
        found["sources"] = [_absolute_source(source, folder) for source in sources]
    elif sources is not None:
        found["sources"] = _absolute_source(sources, folder)
    base_model = fields.get("base_model")
    if isinstance(base_model, str) and base_model.startswith((".", "~")):
        found["base_model"] = _absolute(base_model, folder)
    return found


def _absolute_source(source: JsonValue, folder: Path) -> JsonValue:
    if isinstance(source, str):
        return _absolute(source, folder)
    path = source.get("path") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(path, str):
        return {**source, "path": _absolute(path, folder)}
    return source


def _absolute(path: str, folder: Path) -> str:
    return os.path.join(folder, os.path.expanduser(path)) if path and not scheme_of(path) else path
