"""A drawing as marks in pixels: made once, shown as SVG on a page (`parts.html`) and by matplotlib on the picture.

A mark's `kind` says what it stands for; page.css and `picture` say how each kind looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Line:
    """Through (x, y) points, in pixels from the upper left corner."""

    shape: ClassVar[str] = "line"
    points: tuple[tuple[float, float], ...]
    kind: str


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    shape: ClassVar[str] = "dot"
    x: float
    y: float
    kind: str
    radius: float = 4.5


@dataclass(frozen=True)
class Bar:
    """A filled rectangle; (x, y) is its upper left corner, `strength` how much of its colour it has, up to 1."""

    shape: ClassVar[str] = "bar"
    x: float
    y: float
    width: float
    height: float
    strength: float = 1.0


@dataclass(frozen=True)
class Label:
    """One line of text on the base line y; `anchor` says which part of it is at x: start, middle or end."""

    shape: ClassVar[str] = "label"
    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"


Mark = Line | Dot | Bar | Label


@dataclass(frozen=True)
class Drawing:
    """Marks on a sheet; `title` is for those who cannot see it."""

    width: int
    height: int
    title: str
    marks: Sequence[Mark]
