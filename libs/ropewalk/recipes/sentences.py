"""What is wrong with a recipe, in sentences that name the field, the value and the remedy."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from pydantic import AliasChoices, BaseModel, ValidationError

from ropewalk.events.foreign import cut, quoted

MAX_VIOLATIONS = 20
_MAX_SENTENCE = 800
_NAMES = "a name has 1 to 40 lower-case letters, digits, - and _, for example `my-notes`"
_REMEDIES = {
    "licence": "say under which licence the text may be used, for example `licence: LicenseRef-private` or `MIT`",
    "path": "name a file or folder",
    "sources": "name where the text is, for example `sources: [{path: /data/notes, licence: LicenseRef-private}]`",
}


def sentences_of(
    error: ValidationError, model: type[BaseModel], where: Callable[[tuple[str | int, ...]], str] = lambda _: ""
) -> tuple[str, ...]:
    """One sentence per violation, behind what `where` says of its place: the line of a file."""
    items: list[dict[str, Any]] = [dict(item) for item in error.errors(include_url=False, include_context=False)]
    places = [tuple(item["loc"]) for item in items]
    return bounded(where(tuple(item["loc"])) + _sentence(item, model) for item in items if not _follows(item, places))


def bounded(violations: Iterable[str]) -> tuple[str, ...]:
    """The first violations, each of bounded length, and how many more there are."""
    found = [cut(violation, _MAX_SENTENCE) for violation in violations]
    more = len(found) - MAX_VIOLATIONS
    return (*found[:MAX_VIOLATIONS], *([f"and {more:,} more of this kind"] if more > 0 else []))


def _follows(item: dict[str, Any], places: list[tuple[str | int, ...]]) -> bool:
    """A list whose items are all wrong also counts as too short: that helps nobody."""
    place = tuple(item["loc"])
    return item["type"] == "too_short" and any(
        len(each) > len(place) and each[: len(place)] == place for each in places
    )


def _sentence(item: dict[str, Any], model: type[BaseModel]) -> str:
    location = tuple(item["loc"])
    field = cut(".".join(str(part) for part in location)) or _called(model)
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "extra_forbidden":
            return _unknown(location, item["input"], model)
        case "missing":
            return f"field {field!r} is missing: {_REMEDIES.get(str(location[-1]), 'add it')}"
        case "string_pattern_mismatch" if field == "extends":
            return f"field 'extends' has the value {quoted(item['input'])}: name a checkpoint, `RUN-EPOCH-STEP`"
        case "string_pattern_mismatch":
            return f"field {quoted(field)} has the value {quoted(item['input'])}: {_NAMES}"
        case "tuple_type" | "model_type" | "dict_type" as kind:
            wanted = "a mapping of fields" if kind != "tuple_type" else "a list of texts"
            return f"field {quoted(field)} has the value {quoted(item['input'])}: it is {wanted}"
        case "value_error":
            return f"{field}: {message}"
        case _:
            return f"field {quoted(field)} has the value {quoted(item['input'])}: {message}"


def _unknown(location: tuple[str | int, ...], value: object, model: type[BaseModel]) -> str:
    *parents, name = (str(part) for part in location)
    owner = _owner(parents, model)
    known = sorted(owner.model_fields)
    where = ".".join(parents) if parents else f"a {_called(model)}"
    return (
        f"unknown field {quoted('.'.join((*parents, name)))} (value {quoted(value)}): {_remedy(name, owner)} {where} "
        f"has the fields {', '.join(known)}"
    )


def _called(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("File").lower()


def _remedy(name: str, owner: type[BaseModel]) -> str:
    inner = next((field for field, model in _inner(owner) if name in _names_of(model)), "")
    if inner:
        return f"it belongs to {inner!r};"
    guesses = difflib.get_close_matches(cut(name, 40), owner.model_fields, n=1, cutoff=0.6)
    return f"did you mean {guesses[0]!r}?" if guesses else "remove it;"


def _inner(owner: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in owner.model_fields.items():
        if (model := _model_in(field.annotation)) is not None:
            yield name, model


def _names_of(model: type[BaseModel]) -> set[str]:
    """Every word that is understood for a field, other spellings too."""
    aliases = [field.validation_alias for field in model.model_fields.values()]
    spelled = [each.choices for each in aliases if isinstance(each, AliasChoices)]
    return {*model.model_fields, *(str(word) for words in spelled for word in words)}


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
