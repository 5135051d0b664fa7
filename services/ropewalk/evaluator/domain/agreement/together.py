"""How far raters agree, by every coefficient with its interval: the entry point for a page or a judge card."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.agreement.kappas import ac1_of_counts, cohen_kappa, fleiss_kappa
from ropewalk.evaluator.domain.agreement.resampling import resampled
from ropewalk.statistics.alpha import Scaling, alpha_of_counts
from ropewalk.statistics.intervals import Interval
from ropewalk.statistics.ratings import Ratings, coded, counted

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha, Gwet's AC1, Fleiss' kappa, and Cohen's kappa by two raters' places in the table, with
    quadratic weights where grades are ordered."""

    alpha: Interval
    ac1: Interval
    fleiss: Interval
    cohen: dict[tuple[int, int], Interval]


def agreement(ratings: Ratings, clusters: Sequence[object], scaling: Scaling, *, seed: int) -> Agreement:
    """`ratings` is raters x items, None or NaN where nothing was said; `clusters` has one name per item."""
    codes, categories = coded(ratings)
    counts, _ = counted(ratings)
    values = np.arange(len(categories)) if scaling == "nominal" else np.array(categories, dtype=np.float64)

    def cohen(first: int, second: int, items: _Ints) -> float:
        both = items[(codes[first, items] >= 0) & (codes[second, items] >= 0)]
        table = np.zeros((len(categories), len(categories)))
        np.add.at(table, (codes[first, both], codes[second, both]), 1.0)
        return cohen_kappa(table, None if scaling == "nominal" else "quadratic") if len(both) else float("nan")

    return Agreement(
        resampled(lambda items: alpha_of_counts(counts[items], values, scaling), clusters, seed=seed),
        resampled(lambda items: ac1_of_counts(counts[items]), clusters, seed=seed),
        resampled(lambda items: fleiss_kappa(counts[items]), clusters, seed=seed),
        {
            (first, second): resampled(partial(cohen, first, second), clusters, seed=seed)
            for first, second in combinations(range(len(codes)), 2)
        },
    )
