"""Reads the price table that ships, and a user's file, whose lines take the place of those of the same name."""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ropewalk.events.foreign import one_line
from ropewalk.recipes.reading import read_recipe_file
from ropewalk.recipes.recipe import RecipeError
from ropewalk.recipes.sentences import sentences_of
from ropewalk.usecases.prices import Tariff

_GROUPS = ("by_token", "by_hour")


def load_tariff(file: Path | None = None) -> Tariff:
    """The table, with what `file` says in place of it. Raises RecipeError with sentences that name the file."""
    return _shipped() if file is None else _merged(_shipped(), file)


@cache
def _shipped() -> Tariff:
    return _parsed(read_recipe_file(Path(__file__).with_name("prices.yaml"), "price table"))


def _merged(shipped: Tariff, file: Path) -> Tariff:
    """A line of the user's replaces the whole line; its date is that of his file."""
    given: dict[str, Any] = dict(read_recipe_file(file, "price table"))
    name, fields = one_line(str(file)), shipped.model_dump(mode="json")
    if given.get("date") is None:
        raise RecipeError((f"price table {name}: field 'date' is missing: say of what day, for example 2026-11-27",))
    try:
        for group in _GROUPS:
            if isinstance(lines := given.get(group, {}), dict):
                given[group] = {**fields[group], **lines}
        return _parsed({**fields, **given})
    except RecipeError as error:
        raise RecipeError(tuple(f"price table {name}: {sentence}" for sentence in error.sentences)) from None


def _parsed(fields: dict[str, Any]) -> Tariff:
    """Raises RecipeError."""
    try:
        tariff = Tariff.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(sentences_of(error, Tariff)) from None
    dated = {
        group: {
            name: line.model_copy(update={"date": line.date or tariff.date})
            for name, line in getattr(tariff, group).items()
        }
        for group in _GROUPS
    }
    return tariff.model_copy(update=dated)
