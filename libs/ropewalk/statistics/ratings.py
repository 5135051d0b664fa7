"""Tables of ratings as arrays: raters x items, with None or NaN where somebody said nothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
Ratings = Sequence[Sequence[object]] | NDArray[np.float64]


def numbers(ratings: Ratings) -> _Floats:
    """(raters, items), NaN where nothing was said. Raises ValueError where a rating is no number."""
    rows = [[np.nan if each is None else each for each in row] for row in ratings]
    try:
        table = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"ratings are a table of raters x items with numbers or None: {error}") from error
    if table.ndim != 2 or not table.size:
        raise ValueError("ratings are a table of raters x items; this one is empty")
    return table


def coded(ratings: Ratings) -> tuple[_Ints, tuple[object, ...]]:
    """(raters, items) with the place of each rating in the sorted categories, -1 where nothing was said.

    Categories are numbers or words. Raises ValueError where rows are of different lengths or nothing was said.
    """
    rows = [[None if each is None or each != each else each for each in row] for row in ratings]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("every rater needs one entry per item, None where nothing was said")
    categories = tuple(sorted({each for row in rows for each in row if each is not None}))  # type: ignore[type-var]
    if not categories:
        raise ValueError("nobody rated anything")
    place = {category: number for number, category in enumerate(categories)} | {None: -1}
    return np.array([[place[each] for each in row] for row in rows], dtype=np.int64), categories


def counted(ratings: Ratings) -> tuple[_Floats, tuple[object, ...]]:
    """(items, categories): how many raters chose each category, and the categories in order."""
    codes, categories = coded(ratings)
    return np.stack([(codes == place).sum(axis=0) for place in range(len(categories))], axis=1) * 1.0, categories


def contingency(first: Sequence[object], second: Sequence[object]) -> _Floats:
    """(categories, categories): how often the first rater said the row and the second the column."""
    codes, categories = coded([first, second])
    both = codes[:, (codes >= 0).all(axis=0)]
    table = np.zeros((len(categories), len(categories)))
    np.add.at(table, (both[0], both[1]), 1.0)
    return table


def square(table: ArrayLike) -> _Floats:
    """A table of counts, (categories, categories). Raises ValueError where it is none."""
    found = np.asarray(table, dtype=np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or (found < 0).any() or not found.sum():
        raise ValueError(f"a table of counts is square, not negative and not empty; this one has shape {found.shape}")
    return found
