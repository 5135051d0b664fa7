"""Whether the paths of a recipe can be read at all, asked before a run is accepted."""

import os
import stat
from pathlib import Path

from ropewalk.corpus.reading.places import ClosedError, Reach, not_a_file
from ropewalk.events.foreign import quoted
from ropewalk.recipes.recipe import Recipe


def source_violations(recipe: Recipe, reach: Reach) -> tuple[str, ...]:
    """One sentence per path of the recipe that cannot be read."""
    return tuple(
        f"field 'sources.{place}.path' has the value {quoted(source.path)}: {fault}"
        for place, source in enumerate(recipe.sources)
        if (fault := path_fault(source.path, reach)) is not None
    )


def path_fault(path: str, reach: Reach) -> str | None:
    """Why a file or folder cannot be read, whatever stands in its name, or None."""
    try:
        location = Path(path).expanduser()
        if not location.is_absolute():
            return "it is relative, and the services run elsewhere; give an absolute path"
        mode = location.stat().st_mode
        reach.check(os.path.realpath(location))
        refusal = None if stat.S_ISDIR(mode) else not_a_file(mode)
    except ClosedError as error:
        refusal = error
    except FileNotFoundError:
        return "there is no such file or folder; give an existing, absolute path"
    except NotADirectoryError:
        return "a part of it is a file, not a folder; give an existing, absolute path"
    except PermissionError:
        return "it may not be read by this user; change its permissions"
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a user that is unknown, a NUL character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"it cannot be a path here ({reason.lower()}); give an existing, absolute path"
    if refusal is not None:
        return f"{refusal}; choose another place"
    return None if os.access(location, os.R_OK) else "it may not be read by this user; change its permissions"
