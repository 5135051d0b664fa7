"""Agreement beyond chance with the chance of each author: Cohen, Scott, Fleiss, Gwet.

All are (seen - expected) / (1 - expected) and NaN where all agree by necessity. Kappas fall to 0 where nearly all is of
one category, however often raters agree (the paradox of Feinstein & Cicchetti 1990); AC1 does not.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.statistics.ratings import Ratings, counted, square

_Floats = NDArray[np.float64]


def cohen_kappa(table: ArrayLike, weights: Literal["linear", "quadratic"] | None = None) -> float:
    """Cohen's kappa (1960) of two raters, from counts (categories, categories): one's by row, the other's by column.

    With `weights` disagreement counts by the distance of the places in the table, or its square (Cohen 1968).
    """
    shares = square(table) / square(table).sum()
    places = np.arange(len(shares))
    apart = np.abs(places[:, None] - places).astype(np.float64)
    apart = (apart > 0) * 1.0 if weights is None else apart ** (1 if weights == "linear" else 2)
    expected = (np.outer(shares.sum(axis=1), shares.sum(axis=0)) * apart).sum()
    return float(1 - (shares * apart).sum() / expected) if expected > 0 else float("nan")


def scott_pi(table: ArrayLike) -> float:
    """Scott's pi (1955) of two raters, who are taken to have the same habits; the table is as for Cohen's kappa."""
    shares = square(table) / square(table).sum()
    return _beyond(float(np.trace(shares)), float((((shares.sum(axis=0) + shares.sum(axis=1)) / 2) ** 2).sum()))


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa (1971) from counts (items, categories); items may have different numbers of ratings (Gwet 2014)."""
    return _of_counts(counts, lambda habits: float((habits**2).sum()))


def gwet_ac1(ratings: Ratings) -> float:
    """Gwet's AC1 (2008) of a table of raters x items, None or NaN where somebody said nothing."""
    return ac1_of_counts(counted(ratings)[0])


def ac1_of_counts(counts: ArrayLike) -> float:
    """The same from counts (items, categories). A category that nobody chose counts if it has a column."""
    return _of_counts(counts, lambda habits: float((habits * (1 - habits)).sum() / max(1, len(habits) - 1)))


def ac1_of_table(table: ArrayLike) -> float:
    """The same for two raters, from counts (categories, categories)."""
    found = square(table)
    places = np.eye(len(found))
    pairs = (places[:, None] + places).reshape(-1, len(found))  # (rows * columns, categories): one item each
    return ac1_of_counts(np.repeat(pairs, found.ravel().astype(int), axis=0))


def percent_agreement(counts: ArrayLike) -> float:
    """The share of pairs of raters that agree, the mean over items with at least two ratings; counts as for Fleiss."""
    table = _checked(counts)
    raters = table.sum(axis=1)
    table, raters = table[raters >= 2], raters[raters >= 2]
    if not len(table):
        return float("nan")
    return float(((table * (table - 1)).sum(axis=1) / (raters * (raters - 1))).mean())


def _of_counts(counts: ArrayLike, chance: Callable[[_Floats], float]) -> float:
    """`chance`: from the share of each category, every item weighing the same, to the agreement that comes of it."""
    table = _checked(counts)
    return _beyond(percent_agreement(table), chance((table / table.sum(axis=1, keepdims=True)).mean(axis=0)))


def _checked(counts: ArrayLike) -> _Floats:
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"counts are a table of items x categories, not of shape {table.shape}")
    return np.asarray(table[table.sum(axis=1) > 0])


def _beyond(seen: float, expected: float) -> float:
    return (seen - expected) / (1 - expected) if expected < 1 else float("nan")
