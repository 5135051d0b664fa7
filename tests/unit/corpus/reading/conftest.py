"""Reads a folder as the ingest service does, without a store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.places import ANYWHERE, Reach
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.recipes.recipe import SourceRecipe


@dataclass
class Found:
    """What was read: contents and flaws by place."""

    contents: dict[str, Content] = field(default_factory=dict)
    flaws: list[tuple[str, Flaw]] = field(default_factory=list)

    @property
    def texts(self) -> dict[str, str]:
        return {path: content.text for path, content in self.contents.items()}

    @property
    def reasons(self) -> dict[str, str]:
        return {path: flaw.reason for path, flaw in self.flaws}


Read = Callable[..., Found]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def read() -> Read:
    def everything(path: Path, limits: Limits | None = None, reach: Reach = ANYWHERE, **fields: object) -> Found:
        recipe = SourceRecipe.model_validate({"path": str(path), "licence": "MIT", **fields})
        found = Found()
        for place, item in _items(recipe, limits or Limits(), reach):
            if isinstance(item, Flaw):
                found.flaws.append((place, item))
            else:
                assert place not in found.contents
                found.contents[place] = item
        return found

    return everything


def _items(recipe: SourceRecipe, limits: Limits, reach: Reach) -> Iterator[tuple[str, Content | Flaw]]:
    for file in list_files(recipe, reach):
        yield from contents(file, recipe, limits)
