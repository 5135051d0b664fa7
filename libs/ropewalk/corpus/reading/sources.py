"""From a recipe to its sources. A place is known by the scheme of its URL; a plain path has none.

A new place is a module beside `folder` and a line in `_SOURCES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ropewalk.corpus.reading.folder import Folder
from ropewalk.corpus.reading.places import ANYWHERE, Reach
from ropewalk.corpus.reading.source import Source, SourceFile
from ropewalk.events.foreign import quoted
from ropewalk.recipes.recipe import Recipe, SourceRecipe

_SOURCES: Mapping[str, Callable[[SourceRecipe, Reach], Source]] = {"": Folder}


def open_source(source: SourceRecipe, reach: Reach = ANYWHERE) -> Source:
    """The source that a recipe names."""
    scheme = source.path.partition("://")[0] if "://" in source.path else ""
    return _SOURCES.get(scheme, Folder)(source, reach)


def list_files(source: SourceRecipe, reach: Reach = ANYWHERE) -> list[SourceFile]:
    """Everything that belongs to the source, in one order whatever the disk says."""
    found = sorted(open_source(source, reach).files(), key=lambda file: (file.path, file.place))
    return [replace(file, is_alone=True) for file in found] if len(found) == 1 else found


def source_violations(recipe: Recipe, reach: Reach) -> tuple[str, ...]:
    """One sentence per path of the recipe that cannot be read, asked before a run is accepted."""
    return tuple(
        f"field 'sources.{place}.path' has the value {quoted(source.path)}: {fault}"
        for place, source in enumerate(recipe.sources)
        if (fault := open_source(source, reach).fault()) is not None
    )
