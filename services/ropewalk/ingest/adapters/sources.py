"""Whether the paths of a recipe can be read at all, asked before a run is accepted."""

import os
from pathlib import Path

from ropewalk.recipes.recipe import Recipe


def source_violations(recipe: Recipe) -> tuple[str, ...]:
    """One sentence per path of the recipe that cannot be read."""
    found = []
    for place, source in enumerate(recipe.sources):
        location = Path(source.path).expanduser()
        field = f"field 'sources.{place}.path' has the value {source.path!r}"
        if not location.exists():
            found.append(f"{field}: there is no such file or folder; give an existing, absolute path")
        elif not os.access(location, os.R_OK):
            found.append(f"{field}: it may not be read by this user; change its permissions")
    return tuple(found)
