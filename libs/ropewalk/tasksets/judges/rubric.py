"""A rubric: by which criteria answers are graded, with a meaning and a worked example for every grade."""

import hashlib
import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.recipes.frozen import Frozen
from ropewalk.tasksets.beside import beside
from ropewalk.tasksets.yaml_file import read_yaml

RUBRIC = "rubric.json"  # in the folders of the store that have one
RUBRICS = Path(__file__).with_name("rubrics")  # those that ship
NAME = r"^[a-z_][a-z0-9_]{0,39}$"
MOST_TEXT = 2_000  # characters of an example


class WorkedExample(Frozen):
    """An answer that has this grade."""

    question: str = Field(default="", max_length=MOST_TEXT)
    reference: str = Field(default="", max_length=MOST_TEXT, description="a right answer, or what it is made from")
    answer: str = Field(max_length=MOST_TEXT)
    why: str = Field(default="", max_length=500, description="in a sentence")


class GradeMeaning(Frozen):
    """What one grade says."""

    grade: int = Field(ge=0, le=5)
    means: str = Field(min_length=1, max_length=500)
    examples: tuple[WorkedExample, ...] = Field(min_length=1, max_length=3, description="a weak judge needs them most")


class Criterion(Frozen):
    """What is looked at, and its grades from 0 upwards."""

    definition: str = Field(min_length=1, max_length=1_000)
    grades: tuple[GradeMeaning, ...] = Field(min_length=4, max_length=6)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if (found := [each.grade for each in self.grades]) != list(range(len(found))):
            raise ValueError(f"grades are {quoted(found)}: write them from 0 to 3, 4 or 5, each once and in this order")
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        """The grades."""
        return tuple(each.grade for each in self.grades)


class RubricFile(Frozen):
    """One version of a rubric. Each criterion is asked by itself."""

    id: str = Field(pattern=RUN_ID_PATTERN)
    version: int = Field(ge=1, le=1_000_000)
    criteria: dict[str, Criterion] = Field(min_length=1, max_length=8, description="by name")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.criteria:
            if not name.isidentifier() or not name.islower() or len(name) > 40:
                raise ValueError(f"criterion {quoted(name)}: a name has 1 to 40 lower-case letters, digits and _")
        return self

    @property
    def full_name(self) -> str:
        """With its version."""
        return f"{self.id}@{self.version}"

    @property
    def digest(self) -> str:
        """The hash of all it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def rubric_beside(path: Path, name: str) -> RubricFile:
    """The rubric that the YAML at `path` names: one that ships, or a file beside it. Raises TaskSetError."""
    shipped = {each.stem: each for each in RUBRICS.glob("*.yaml")}.get(name)
    is_shipped = shipped is not None and not os.path.lexists(path.parent / name)
    named = shipped if shipped and is_shipped else beside(path, name, "rubric")
    return read_yaml(named, RubricFile, "rubric")
