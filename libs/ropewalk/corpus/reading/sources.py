"""From a recipe to its sources. A place is known by the scheme of its URL; a plain path has none.

A new place is a module beside `folder` and a line in `_SOURCES`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO

from ropewalk.corpus.reading.folder import Folder
from ropewalk.corpus.reading.places import ANYWHERE, ClosedError, Reach
from ropewalk.corpus.reading.source import Source, SourceFile
from ropewalk.events.foreign import cut, quoted
from ropewalk.recipes.paths import scheme_of
from ropewalk.recipes.recipe import Recipe, SourceRecipe


@dataclass(frozen=True)
class Nowhere:
    """See `Source`. A URL of a scheme that nothing here reads has no files, and says so."""

    recipe: SourceRecipe
    reach: Reach

    def fault(self) -> str:
        """See `Source.fault`."""
        scheme = scheme_of(self.recipe.path)
        return f"nothing is read from {cut(scheme)}:// here; copy it to a folder and give the absolute path of that"

    def files(self) -> Iterator[SourceFile]:
        """See `Source.files`."""
        return iter(())

    def open(self, place: str) -> IO[bytes]:
        """See `Source.open`."""
        raise ClosedError("no_file", self.fault())


_SOURCES: Mapping[str, Callable[[SourceRecipe, Reach], Source]] = {"": Folder}


def open_source(source: SourceRecipe, reach: Reach = ANYWHERE) -> Source:
    """The source that a recipe names."""
    return _SOURCES.get(scheme_of(source.path), Nowhere)(source, reach)


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
