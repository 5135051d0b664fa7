"""Reads a recipe file that somebody wrote: bounded in size, depth and count before anything is built from it."""

import os
import re
import stat
from pathlib import Path

import yaml
from pydantic import JsonValue
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.recipe import RecipeError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40  # a recipe has four levels, the schema of a task 32
MAX_VALUES = 20_000
_TEXT = "tag:yaml.org,2002:str"
_MAX_NUMBER = 300  # characters
_PLACE = re.compile(r'in "<(byte|unicode) string>", ')  # what YAML calls a file that was read before it was parsed
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")  # octal, and base 60 as in 1:30


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word; a recipe that says two things is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value
            if key.tag != _TEXT:
                shown = quoted(name if isinstance(name, str) else "…")
                raise yaml.MarkedYAMLError(problem=f"the key {shown} is no text: quote it", problem_mark=key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {quoted(name)} stands twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_recipe_file(path: Path, kind: str = "recipe") -> dict[str, JsonValue]:
    """The fields of a YAML file, of a `kind` that sentences name. Raises RecipeError that says what to change."""
    name = one_line(str(path))
    body = _bytes_of(path, name)
    try:
        _check_bounds(body)
        fields = yaml.load(body, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError) as error:
        reason = one_line(_PLACE.sub("at ", " ".join(str(error).split())), 400)
        raise RecipeError((f"{name} is not a YAML {kind}: {reason}",)) from None
    if not isinstance(fields, dict):
        held = {list: "a list", str: "a text", type(None): "nothing"}.get(type(fields), type(fields).__name__)
        raise RecipeError((f"{name} holds {held}, not {kind} fields such as `name: notes`",))
    return fields


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would block
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RecipeError((f"{name} is no regular file: name a YAML file",))
            body = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError((f"{name} cannot be read: {error.strerror}",)) from None
    if len(body) > MAX_BYTES:
        raise RecipeError((f"{name} is larger than {MAX_BYTES // 1024} kB: a recipe names its data, it holds none",))
    return body


def _check_bounds(body: bytes) -> None:
    """Walk through the file without building anything. Raises ValueError, YAMLError.

    Aliases are refused altogether: ten of them on ten lines stand for billions of values, and a recipe needs none.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(body, Loader=yaml.SafeLoader)):
        depth += _step(event)
        if (fault := _fault(event, depth, count)) and event.start_mark is not None:
            raise ValueError(f"line {event.start_mark.line + 1}: {fault}")


def _fault(event: Event, depth: int, count: int) -> str:
    if isinstance(event, AliasEvent):
        return f"the alias *{event.anchor} is not supported: write the value out"
    if depth > MAX_DEPTH:
        return f"values are nested more than {MAX_DEPTH} deep"
    if count > MAX_VALUES:
        return f"there are more than {MAX_VALUES:,} values"
    return _number_fault(event.value) if isinstance(event, ScalarEvent) and not event.style else ""


def _number_fault(text: str) -> str:
    """Reading a long number takes time that grows with the square of its length; some are not what they look like."""
    if len(text) > _MAX_NUMBER and text.lstrip("+-.")[:1].isdigit():
        return f"{len(text):,} characters that begin like a number: put them in quotes if they are a text"
    if _OTHER_BASE.fullmatch(text):
        return f"YAML reads {text} in another base than ten: write it without leading zeros and colons, or in quotes"
    return ""


def _step(event: Event) -> int:
    opens = isinstance(event, MappingStartEvent | SequenceStartEvent)
    return int(opens) - int(isinstance(event, MappingEndEvent | SequenceEndEvent))
