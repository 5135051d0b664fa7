"""Imported base models: how a recipe names one, and where it lies.

A user writes a name; a frozen recipe says `name@<sha256 of the content>`, so that another import under the same name
changes nothing for it. Folders and hub ids never look like either.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ropewalk.recipes.dial import complete
from ropewalk.recipes.model_shape import ModelShape
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.manifest import ManifestError
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
_PREFIX = "bases"
_NAMED = re.compile(rf"({NAME_PATTERN})(?:@([0-9a-f]{{64}}))?")
_IN_CONFIG = {  # of a shape's numbers, those that config.json always has
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
}
_MOST_BYTES = 4_000_000  # of a config.json
_MOST = 1_000  # imported models that are looked through for a name


class Base(BaseModel):
    """An imported model as its sealed manifest tells. `content` is the SHA-256 over its files' names and hashes."""

    model_config = ConfigDict(frozen=True)

    content: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(pattern=rf"^{NAME_PATTERN}$")
    source: str = Field(max_length=4096, description="where it was read: `gguf:`, `hf:` and a path or hub id")
    licence: str = Field(max_length=200)
    family: str = Field(max_length=40, description="model_type of its config.json")
    num_parameters: int
    context_length: int = Field(description="tokens")
    has_template: bool = Field(description="whether it takes conversations")
    imported_at: str = Field(max_length=40, description="UTC")
    shape: ModelShape | None = Field(default=None, description="of its matrices, as far as the law of steps knows them")
    certificate: dict[str, JsonValue] = Field(description="how its greedy tokens were compared with transformers'")

    @property
    def full_name(self) -> str:
        """As a frozen recipe names it."""
        return f"{self.name}@{self.content}"

    @property
    def key(self) -> str:
        """Where it lies in the object store."""
        return base_key(self.content)


def base_key(content: str) -> str:
    """The object key of a content."""
    return f"{_PREFIX}/{content}"


def is_base_name(text: str) -> bool:
    """Whether a recipe's `base_model` names an import, and neither a folder nor a hub id."""
    return _NAMED.fullmatch(text) is not None


def content_of(base_model: str) -> str:
    """The content that a frozen recipe's `base_model` names; empty for a folder, a hub id and a bare name."""
    found = _NAMED.fullmatch(base_model)
    return found[2] or "" if found else ""


def with_base(recipe: Recipe, base: Base | None) -> Recipe:
    """The recipe that names the content of an import, not its name alone."""
    return recipe if base is None else recipe.model_copy(update={"base_model": base.full_name})


def sized(recipe: Recipe, base: Base | None = None) -> Recipe:
    """A recipe whose plan was derived, planned anew for the shape of its base model: the import, or a folder here.

    As it was where the shape is not known: of a hub id. Raises RecipeError.
    """
    if base is None and not recipe.base_model.startswith(("/", "~")):
        return recipe
    shape = base.shape if base is not None else shape_of_folder(Path(recipe.base_location))
    return recipe if shape is None else complete(recipe.model_copy(update={"plan": None}), shape)


def shape_of_folder(folder: Path) -> ModelShape | None:
    """What config.json says of the matrices; None if it does not say it in the words of the families we know."""
    path = folder / "config.json"
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:  # a pipe would be read for ever
        return None
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        heads = config["num_attention_heads"]
        found = {ours: config[theirs] for ours, theirs in _IN_CONFIG.items()} | {
            "num_kv_heads": config.get("num_key_value_heads") or heads,
            "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        }
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return None
    return ModelShape(**found) if all(isinstance(each, int) and each > 0 for each in found.values()) else None


def list_bases(objects: ObjectStore) -> list[Base]:
    """All imported models, oldest first. What is damaged is left out: nothing can begin with it."""
    return sorted(_readable(objects), key=lambda base: (base.imported_at, base.content))


def find_base(objects: ObjectStore, name: str) -> Base | None:
    """The model of a name, the newest of several, or exactly that of `name@content`; None if there is none."""
    content = content_of(name)
    if not content:
        return _with_shape(objects, next((base for base in reversed(list_bases(objects)) if base.name == name), None))
    try:
        base = _read(objects, base_key(content))
    except (ObjectNotFoundError, ManifestError, ValidationError):
        return None
    return _with_shape(objects, base.model_copy(update={"name": name.partition("@")[0]}))


def _with_shape(objects: ObjectStore, base: Base | None) -> Base | None:
    """An import of a release that did not note the shape: its own config says it."""
    if base is None or base.shape is not None:
        return base
    return base.model_copy(update={"shape": shape_of_folder(objects.fetch(base.key))})


def base_location(recipe: Recipe, objects: ObjectStore) -> str:
    """The folder of the base model on this machine, or its hub id.

    Raises ObjectNotFoundError for an import that was removed, ManifestError for one that is damaged.
    """
    content = content_of(recipe.base_model)
    return str(objects.fetch(base_key(content))) if content else recipe.base_location


def _readable(objects: ObjectStore) -> Iterator[Base]:
    for key in objects.list(_PREFIX)[:_MOST]:
        try:
            yield _read(objects, key)
        except (ObjectNotFoundError, ManifestError, ValidationError):
            continue


def _read(objects: ObjectStore, key: str) -> Base:
    meta: dict[str, Any] = objects.manifest(key).meta
    return Base.model_validate({**meta, "content": key.removeprefix(f"{_PREFIX}/")})
