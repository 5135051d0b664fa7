"""The recipes that ship, as functions that return a complete value."""

import sysconfig
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import JsonValue

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import PromotionRecipe, Recipe, RecipeError, SourceRecipe, parse_recipe

_STDLIB_EXCLUDE = (
    "**/site-packages/**",
    "**/test/**",
    "**/tests/**",
    "**/idlelib/**",
    "**/lib2to3/**",
    "**/__pycache__/**",
    "**/config-*/**",
    "**/encodings/**",
)


def python_stdlib() -> Recipe:
    """A code-completion model for Python, from the source of this interpreter's standard library."""
    return Recipe(
        name="python-stdlib",
        sources=(
            SourceRecipe(
                path=sysconfig.get_paths()["stdlib"],
                licence="PSF-2.0",
                format="text",
                include=("**/*.py",),
                exclude=_STDLIB_EXCLUDE,
            ),
        ),
        profile="code",
        size="nano",
        minutes=3.0,
        promotion=PromotionRecipe(model="pycode"),
    )


def python_stdlib_tiny() -> Recipe:
    """The same joints with a model that learns little: for tests and a first look, about a minute."""
    full = python_stdlib()
    source = full.sources[0].model_copy(update={"include": ("*.py",)})
    return full.model_copy(
        update={
            "name": "python-stdlib-tiny",
            "sources": (source,),
            "size": "tiny",
            "minutes": 0.2,
            "trials": 4,
        }
    )


BUILTIN: dict[str, Callable[[], Recipe]] = {
    "python-stdlib": python_stdlib,
    "python-stdlib-tiny": python_stdlib_tiny,
}


def resolve_recipe(fields: dict[str, JsonValue]) -> Recipe:
    """A complete recipe from what a user sent: `base` names a built-in one, other fields replace its fields.

    Raises RecipeError.
    """
    base = fields.get("base")
    given = {name: value for name, value in fields.items() if name != "base"}
    if base is None:
        return complete(parse_recipe(given))
    if base not in BUILTIN:
        known = ", ".join(sorted(BUILTIN))
        raise RecipeError((f"field 'base' has the value {base!r}: the built-in recipes are {known}",))
    return complete(parse_recipe({**BUILTIN[str(base)]().as_json(), **given}))


def load_recipe(name_or_path: str) -> dict[str, JsonValue]:
    """What to send for a built-in recipe's name or a YAML file. Raises RecipeError."""
    if name_or_path in BUILTIN:
        return {"base": name_or_path}
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(BUILTIN))
        raise RecipeError((f"{name_or_path!r} is neither a file nor a built-in recipe ({known})",))
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError((f"{name_or_path} is not YAML: {reason}",)) from None
    if not isinstance(fields, dict):
        raise RecipeError((f"{name_or_path} holds {type(fields).__name__}, not a mapping of recipe fields",))
    return fields
