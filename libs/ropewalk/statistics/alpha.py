"""Krippendorff's alpha (Computing Krippendorff's alpha-reliability, 2011): 1 is agreement, 0 is chance.

Any number of raters, missing ratings, and four ideas of how far two grades are apart.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.statistics.ratings import Ratings, counted

Scaling = Literal["nominal", "ordinal", "interval", "ratio"]
_Floats = NDArray[np.float64]


def krippendorff_alpha(ratings: Ratings, scaling: Scaling = "nominal") -> float:
    """Alpha of a table of raters x items, None or NaN where somebody said nothing.

    Categories are words or numbers for `nominal`, numbers for the others (not negative for `ratio`). NaN where no two
    ratings of an item can be compared or all are the same: there is nothing to agree about.
    """
    counts, categories = counted(ratings)
    values = np.arange(len(categories)) if scaling == "nominal" else np.array(categories, dtype=np.float64)
    return alpha_of_counts(counts, values, scaling)


def alpha_of_counts(counts: ArrayLike, values: ArrayLike, scaling: Scaling) -> float:
    """The same from counts (items, categories) and the value of each category, (categories,)."""
    table, grades = np.asarray(counts, dtype=np.float64), np.asarray(values, dtype=np.float64)
    table = table[table.sum(axis=1) >= 2]  # one rating alone is comparable with nothing
    weights = 1 / (table.sum(axis=1) - 1)
    # (categories, categories): pairs within an item; every item counts with as many as it has ratings.
    together = (table * weights[:, None]).T @ table - np.diag(weights @ table)
    margins = together.sum(axis=0)
    total = margins.sum()
    apart = _distances(grades, margins, scaling)
    expected = margins @ apart @ margins
    return float(1 - (total - 1) * (together * apart).sum() / expected) if expected > 0 else float("nan")


def _distances(values: _Floats, margins: _Floats, scaling: Scaling) -> _Floats:
    """(categories, categories), squared."""
    if scaling == "nominal":
        return np.asarray(1.0 - np.eye(len(values)))
    if scaling == "ordinal":  # grades are as far apart as there are ratings between them
        middle = np.cumsum(margins) - margins / 2
        return np.asarray((middle[:, None] - middle) ** 2)
    gaps, sums = values[:, None] - values, values[:, None] + values
    if scaling == "interval":
        return np.asarray(gaps**2)
    return np.asarray(np.divide(gaps, sums, out=np.zeros_like(gaps), where=sums != 0) ** 2)
