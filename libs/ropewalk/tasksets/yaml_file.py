"""A YAML that somebody wrote, as a checked value: each fault names the file and the line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.reading import read_recipe_file
from ropewalk.recipes.recipe import RecipeError
from ropewalk.recipes.sentences import sentences_of
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.items import is_text

D = TypeVar("D", bound=BaseModel)


def read_yaml(path: Path, kind: type[D], word: str) -> D:
    """The value of `kind` in a file, which sentences call a `word`. Raises TaskSetError."""
    try:
        fields = read_recipe_file(path, word)
        for field, value in fields.items():
            if not is_text(json.dumps({field: value}, ensure_ascii=False, default=str)):
                raise TaskSetError(
                    f"{one_line(path.name)}: field {quoted(field)} has half of a character (a lone surrogate) in it: "
                    "write it as UTF-8"
                )
        return kind.model_validate(fields)
    except RecipeError as error:
        raise TaskSetError(*error.violations) from None
    except ValidationError as error:
        root, name = yaml.compose(path.read_bytes(), Loader=yaml.SafeLoader), one_line(path.name)  # bounded above
        sentences = sentences_of(error, kind, lambda place: f"{name} line {_line_of(place, root)}: ")
        raise TaskSetError(*sentences) from None


def _line_of(place: Iterable[str | int], node: Any) -> int:
    """Of the deepest part of a place that is there."""
    line = 1
    for part in place:
        inner = _inside(node, part)
        if inner is None:
            break
        node, line = inner
    return line


def _inside(node: Any, part: str | int) -> tuple[Any, int] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark.line + 1) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None
