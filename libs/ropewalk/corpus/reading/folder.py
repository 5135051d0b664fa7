"""A folder of this machine as a source, or a single file; and what stands in a folder and is no file."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from ropewalk.corpus.reading.places import ANYWHERE, ClosedError, Reach, is_below, not_a_file, open_inside
from ropewalk.corpus.reading.selection import enters_folder, takes_file
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.events.foreign import one_line
from ropewalk.recipes.recipe import SourceRecipe

_PATH_CHARS = 20_000  # no path is longer: the system's limit is 4,096 bytes, each escaped as four characters


@dataclass(frozen=True)
class Folder:
    """See `Source`. Nothing is read out of the folder, wherever its links lead, nor what `reach` closes."""

    recipe: SourceRecipe
    reach: Reach = ANYWHERE

    @cached_property
    def _root(self) -> str:
        """The path without links, as it was when the files were listed."""
        return os.path.realpath(Path(self.recipe.path).expanduser())

    def fault(self) -> str | None:
        """See `Source.fault`: whatever stands in the name of the path."""
        try:
            location = Path(self.recipe.path).expanduser()
            if not location.is_absolute():
                return "it is relative, and the services run elsewhere; give an absolute path"
            mode = location.stat().st_mode
            self.reach.check(os.path.realpath(location))
            refusal = None if stat.S_ISDIR(mode) else not_a_file(mode)
        except ClosedError as error:
            refusal = error
        except FileNotFoundError:
            return "there is no such file or folder; give an existing, absolute path"
        except NotADirectoryError:
            return "a part of it is a file, not a folder; give an existing, absolute path"
        except PermissionError:
            return "it may not be read by this user; change its permissions"
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, an unknown user, a NUL character
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return f"it cannot be a path here ({reason.lower()}); give an existing, absolute path"
        if refusal is not None:
            return f"{refusal}; choose another place"
        return None if os.access(location, os.R_OK) else "it may not be read by this user; change its permissions"

    def files(self) -> Iterator[SourceFile]:
        """See `Source.files`. A link to a folder is not followed: there it would be read a second time, or not be
        of this source."""
        if os.path.isdir(self._root):
            yield from self._walk()
        else:
            name = _shown(Path(self.recipe.path).name)
            yield SourceFile(name, self._root, self, _size_and_refusal(self._root)[0], is_alone=True)

    def open(self, place: str) -> IO[bytes]:
        """See `Source.open`."""
        return open_inside(place, self._root, self.reach)

    def _walk(self) -> Iterator[SourceFile]:
        unreadable: list[OSError] = []

        # `os.walk` follows no link to a folder, and does not enter what is removed from `subfolders`.
        for folder, subfolders, names in os.walk(self._root, onerror=unreadable.append):
            try:
                self.reach.check(folder)
            except ClosedError as error:
                subfolders.clear()
                yield self._file(folder, error)
                continue
            entered = [
                name for name in subfolders if enters_folder(self.recipe, self._relative(os.path.join(folder, name)))
            ]
            linked = {name for name in entered if os.path.islink(os.path.join(folder, name))}
            subfolders[:] = [name for name in entered if name not in linked]
            yield from (self._linked_folder(os.path.join(folder, name)) for name in linked)
            yield from (
                self._file(os.path.join(folder, name))
                for name in names
                if takes_file(self.recipe, self._relative(os.path.join(folder, name)))
            )
        yield from (self._file(os.fsdecode(error.filename), error) for error in unreadable)

    def _relative(self, location: str) -> str:
        return location[len(self._root.rstrip("/")) + 1 :] or "."

    def _file(self, location: str, closed: ClosedError | OSError | None = None) -> SourceFile:
        path = _shown(self._relative(location))
        if closed is not None:
            return SourceFile(path, location, self, closed=closed)
        size, refusal = _size_and_refusal(location)
        return SourceFile(path, location, self, size, refusal)

    def _linked_folder(self, location: str) -> SourceFile:
        if is_below(os.path.realpath(location), self._root):
            error = ClosedError("linked_folder", "a link to a folder of the same source, where its files are read")
        else:
            error = ClosedError("link_outside", "a link to a folder outside of its source; name that as a source")
        return self._file(location, error)


def _size_and_refusal(location: str) -> tuple[int, ClosedError | None]:
    """Bytes on disk, and why it has no content. A broken link is left to the reader, which says so."""
    try:
        found = os.stat(location)
    except (OSError, ValueError):
        return 0, None
    refusal = not_a_file(found.st_mode)
    return (0 if refusal else found.st_size), refusal


def _shown(path: str) -> str:
    return one_line(path, _PATH_CHARS)
