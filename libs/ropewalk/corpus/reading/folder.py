"""The files of a source, in one order whatever the disk says, and what stands in a folder and is no file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ropewalk.corpus.reading.places import ANYWHERE, ClosedError, Reach, is_below, not_a_file
from ropewalk.corpus.reading.selection import Selection
from ropewalk.events.foreign import one_line
from ropewalk.recipes.recipe import SourceRecipe

_PATH_CHARS = 20_000  # no path is longer: the system's limit is 4,096 bytes, each escaped as four characters


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `path` is relative to the source, with `/`, on one line and fit for UTF-8.

    `inside` is the folder, without links, out of which nothing is read. `closed` says why it is not read at all.
    A file that `is_alone` in its source is cut into parts, if it is a text: some to learn from, some to be judged by.
    """

    path: str
    location: Path
    inside: str = "/"
    closed: ClosedError | OSError | None = None
    is_alone: bool = False


def list_files(source: SourceRecipe, reach: Reach = ANYWHERE) -> list[SourceFile]:
    """Everything that belongs to the source, sorted by relative path."""
    found = sorted(walk_files(source, reach), key=lambda file: (file.path, os.fsencode(file.location)))
    return [replace(file, is_alone=True) for file in found] if len(found) == 1 else found


def walk_files(source: SourceRecipe, reach: Reach = ANYWHERE) -> Iterator[SourceFile]:
    """The same as it is found. A link to a folder is not followed: there it would be read a second time, or not be
    of this source."""
    root = Path(source.path).expanduser()
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        yield SourceFile(_shown(root.name), Path(real), real, is_alone=True)
        return
    yield from _Walk(Selection(source.include, source.exclude), real, reach).files()


@dataclass(frozen=True)
class _Walk:
    selection: Selection
    root: str
    reach: Reach

    def files(self) -> Iterator[SourceFile]:
        unreadable: list[OSError] = []

        for folder, subfolders, names in os.walk(self.root, onerror=unreadable.append):
            try:
                self.reach.check(folder)
            except ClosedError as error:
                subfolders.clear()
                yield self._file(folder, error)
                continue
            entered = [
                name for name in subfolders if self.selection.enters_folder(self._relative(os.path.join(folder, name)))
            ]
            linked = {name for name in entered if os.path.islink(os.path.join(folder, name))}
            subfolders[:] = [name for name in entered if name not in linked]
            yield from (self._linked_folder(os.path.join(folder, name)) for name in linked)
            yield from (
                self._file(os.path.join(folder, name), None)
                for name in names
                if self.selection.takes_file(self._relative(os.path.join(folder, name)))
            )
        yield from (self._file(os.fsdecode(error.filename), error) for error in unreadable)

    def _relative(self, location: str) -> str:
        return location[len(self.root.rstrip("/")) + 1 :] or "."

    def _file(self, location: str, closed: ClosedError | OSError | None) -> SourceFile:
        path = _shown(self._relative(location))
        return SourceFile(path, Path(location), self.root, closed or _not_a_file(location))

    def _linked_folder(self, location: str) -> SourceFile:
        if is_below(os.path.realpath(location), self.root):
            error = ClosedError("linked_folder", "a link to a folder of the same source, where its files are read")
        else:
            error = ClosedError("link_outside", "a link to a folder outside of its source; name that as a source")
        return self._file(location, error)


def _not_a_file(location: str) -> ClosedError | None:
    """A broken link is left to the reader, which says so."""
    try:
        return not_a_file(os.stat(location).st_mode)
    except OSError:
        return None


def _shown(path: str) -> str:
    return one_line(path, _PATH_CHARS)
