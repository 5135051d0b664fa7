"""What is wrong with a recipe, in sentences that name the field, the value and the remedy."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ropewalk.events.foreign import cut, quoted

MAX_VIOLATIONS = 20
_MAX_SENTENCE = 800
_REMEDIES = {
    "licence": "say under which licence the text may be used, for example `licence: LicenseRef-private` or `MIT`",
    "path": "name a file or folder",
    "sources": "name where the text is, for example `sources: [{path: /data/notes, licence: LicenseRef-private}]`",
}


def sentences_of(error: ValidationError, model: type[BaseModel]) -> tuple[str, ...]:
    """One sentence per violation."""
    return bounded(_sentence(dict(item), model) for item in error.errors(include_url=False, include_context=False))


def bounded(violations: Iterable[str]) -> tuple[str, ...]:
    """The first violations, each of bounded length, and how many more there are."""
    found = [cut(violation, _MAX_SENTENCE) for violation in violations]
    more = len(found) - MAX_VIOLATIONS
    return (*found[:MAX_VIOLATIONS], *([f"and {more:,} more of this kind"] if more > 0 else []))


def _sentence(item: dict[str, Any], model: type[BaseModel]) -> str:
    location = tuple(item["loc"])
    field = cut(".".join(str(part) for part in location)) or "recipe"
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "extra_forbidden":
            return _unknown(location, item["input"], model)
        case "missing":
            return f"field {field!r} is missing: {_REMEDIES.get(str(location[-1]), 'add it to the recipe')}"
        case "value_error":
            return f"{field}: {message}"
        case _:
            return f"field {quoted(field)} has the value {quoted(item['input'])}: {message}"


def _unknown(location: tuple[str | int, ...], value: object, model: type[BaseModel]) -> str:
    *parents, name = (str(part) for part in location)
    owner = _owner(parents, model)
    known = sorted(owner.model_fields)
    guesses = difflib.get_close_matches(cut(name, 40), known, n=1, cutoff=0.6)
    where = ".".join(parents) if parents else "a recipe"
    remedy = f"did you mean {guesses[0]!r}?" if guesses else "remove it;"
    return (
        f"unknown field {quoted('.'.join((*parents, name)))} (value {quoted(value)}): {remedy} {where} has the fields "
        f"{', '.join(known)}"
    )


def _owner(parents: list[str], model: type[BaseModel]) -> type[BaseModel]:
    """The model that the last of the parents names: `sources.0` is a SourceRecipe."""
    for name in parents:
        field = model.model_fields.get(name)
        if field is not None:
            model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
