"""The recipes that ship, as functions that return a complete value."""

import difflib
import json
import os
import shlex
import sysconfig
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from ropewalk.events.foreign import cut, one_line, quoted
from ropewalk.recipes.dial import complete
from ropewalk.recipes.judgement import EvaluationRecipe, PromotionRecipe
from ropewalk.recipes.reading import read_recipe_file
from ropewalk.recipes.recipe import Recipe, RecipeError, SourceRecipe, parse_recipe

MAX_RECIPE_BYTES = 128 * 1024  # without its task; it travels in two events of the run and lies in the log for good
MAX_TASK_BYTES = 256 * 1024  # more than its longest instruction, prompt and schema together

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
            "evaluation": EvaluationRecipe(gate="toy"),
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
    _check_size(fields)
    base = fields.get("base")
    given = {name: value for name, value in fields.items() if name != "base"}
    if base is None:
        return complete(parse_recipe(given))
    if not isinstance(base, str) or base not in BUILTIN:
        known = ", ".join(sorted(BUILTIN))
        raise RecipeError((f"field 'base' has the value {quoted(base)}: the built-in recipes are {known}",))
    return complete(parse_recipe({**BUILTIN[base]().as_json(), **given}))


def _check_size(fields: dict[str, JsonValue]) -> None:
    """A task holds texts of its own, so it has a bound of its own. Raises RecipeError."""
    rest = {name: value for name, value in fields.items() if name != "task"}
    if len(json.dumps(rest, default=str)) > MAX_RECIPE_BYTES:
        without = " without its task" if "task" in fields else ""
        problem = f"the recipe is larger than {MAX_RECIPE_BYTES // 1024} kB{without}: it names its data, it holds none"
        raise RecipeError((problem,))
    if len(json.dumps(fields.get("task"), default=str, ensure_ascii=False).encode(errors="replace")) > MAX_TASK_BYTES:
        problem = f"field 'task' is larger than {MAX_TASK_BYTES // 1024} kB: shorten its instruction or its json_schema"
        raise RecipeError((problem,))


def load_recipe(name_or_path: str) -> dict[str, JsonValue]:
    """What to send for a built-in recipe's name or a YAML file. Raises RecipeError."""
    if name_or_path in BUILTIN:
        return {"base": name_or_path}
    place = os.path.expanduser(name_or_path)  # pathlib raises for a home that nobody has and for long names
    if os.path.isdir(place):
        remedy = f"`ropewalk init {shlex.quote(one_line(name_or_path))}` writes a recipe for it"
        raise RecipeError((f"{quoted(name_or_path)} is a folder, not a recipe: {remedy}",))
    if not os.path.exists(place):
        known = ", ".join(sorted(BUILTIN))
        guesses = difflib.get_close_matches(cut(name_or_path, 40), BUILTIN, n=1)
        guess = f"; did you mean {guesses[0]}?" if guesses else ""
        raise RecipeError((f"{quoted(name_or_path)} is neither a file nor a built-in recipe ({known}){guess}",))
    return read_recipe_file(Path(place))
