"""Looks at the folder of a base model before a run is accepted, without loading it.

A hub id cannot be judged here: it is fetched, and refused if need be, where it is used first.
"""

import json
from pathlib import Path

from ropewalk.recipes.recipe import Recipe

_CONFIG = "config.json"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def base_model_violations(recipe: Recipe) -> tuple[str, ...]:
    """One sentence if a local base model cannot be fine-tuned by this recipe."""
    if not recipe.base_model.startswith(("/", "~", ".")):
        return ()
    fault = _fault(Path(recipe.base_location), recipe.derived.context_length)
    return (f"field 'base_model' has the value {recipe.base_model!r}: {fault}",) if fault else ()


def _fault(folder: Path, context_length: int) -> str | None:
    remedy = "name the folder of a Hugging Face checkpoint or a hub id"
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
    except FileNotFoundError:
        what = f"it is not a folder with a {_CONFIG}" if folder.exists() else "there is no such folder"
        return f"{what}; {remedy}"
    except NotADirectoryError:
        return f"it is a file; {remedy}"
    except (OSError, ValueError) as error:
        return f"its {_CONFIG} cannot be read ({error}); {remedy}"
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return f"its {_CONFIG} names no model_type, so it is not a model; {remedy}"
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        return f"it has a {_CONFIG} but no weights ({' or '.join(_WEIGHTS)}); {remedy}"
    longest = config.get("max_position_embeddings")
    if isinstance(longest, int) and longest < context_length:
        return (
            f"it reads at most {longest} tokens, but the recipe's size trains on windows of {context_length}; choose a "
            "smaller size or another base model"
        )
    return None
