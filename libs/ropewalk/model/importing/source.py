"""Where a model is imported from: `gguf:FILE`, `hf:FOLDER` or `hf:org/name`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ropewalk.model.importing.errors import RefusedError

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_FORMS = "write gguf:FILE, hf:FOLDER or hf:org/name"


@dataclass(frozen=True)
class ModelSource:
    """`place` is an absolute path, or a hub id."""

    kind: Literal["gguf", "folder", "hub"]
    place: str

    @property
    def told(self) -> str:
        """As it is kept: files by their own name alone, for a path says more of a machine than of a model."""
        word, place = "gguf" if self.kind == "gguf" else "hf", Path(self.place)
        return f"hf:{self.place}" if self.kind == "hub" else f"{word}:{place.name}"

    @property
    def name(self) -> str:
        """A name for it: small letters, digits, `._-`."""
        last = Path(self.place).stem if self.kind == "gguf" else Path(self.place).name
        return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("._-")[:64] or "model"


def parse_source(text: str) -> ModelSource:
    """Raises RefusedError for what is none of the forms, and for a path at which there is nothing."""
    word, _, place = text.partition(":")
    path = Path(os.path.expanduser(place)).absolute()
    if not place or word not in ("gguf", "hf"):
        raise RefusedError(f"the source {text[:200]!r} says not what it is: {_FORMS}")
    if word == "gguf":
        if not path.is_file():
            raise RefusedError(f"there is no file {str(path)[:200]!r}: {_FORMS}")
        return ModelSource("gguf", str(path))
    if path.is_dir():
        return ModelSource("folder", str(path))
    if place.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(place):
        raise RefusedError(f"there is no folder {place[:200]!r}, and it is no hub id: {_FORMS}")
    return ModelSource("hub", place)
