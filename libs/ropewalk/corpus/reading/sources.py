"""Whether the paths of a recipe can be read at all, asked before a run is accepted."""

import os
from pathlib import Path

from ropewalk.events.foreign import quoted
from ropewalk.recipes.recipe import Recipe


def source_violations(recipe: Recipe) -> tuple[str, ...]:
    """One sentence per path of the recipe that cannot be read."""
    found = []
    for place, source in enumerate(recipe.sources):
        location = Path(os.path.expanduser(source.path))
        field = f"field 'sources.{place}.path' has the value {quoted(source.path)}"
        if not location.is_absolute():
            found.append(f"{field}: it is relative, and the services run elsewhere; give an absolute path")
        elif not os.path.exists(location):  # Path.exists raises for a name that is too long
            found.append(f"{field}: there is no such file or folder; give an existing, absolute path")
        elif not os.access(location, os.R_OK):
            found.append(f"{field}: it may not be read by this user; change its permissions")
    return tuple(found)
