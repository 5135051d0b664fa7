"""What grade an item deserves when raters are strict or lenient: the ordinal consensus of many raters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.scales.latent import NODES, Given, fit
from ropewalk.statistics.ratings import Ratings, coded

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OrdinalConsensus:
    """`grades` (items,): what a rater of middling severity is expected to give; `quality` and its standard `error`
    (items,) in units of the spread between items; `severities` (raters,) in the same unit."""

    grades: _Floats
    quality: _Floats
    error: _Floats
    severities: _Floats


def many_facet(ratings: Ratings) -> OrdinalConsensus:
    """Item quality x rater severity, cumulative logit (Linacre 1989). `ratings` is raters x items with numbers as
    grades, None or NaN where nothing was said. Raises ValueError where all grades are the same."""
    codes, categories = coded(ratings)
    if len(categories) < 2:
        raise ValueError("all grades are the same: nothing tells items or raters apart")
    rater, item = np.nonzero(codes >= 0)
    given = Given(codes.shape[1], item, rater, codes[rater, item])
    latent, posterior = fit(given, [0] * len(codes), [len(categories)])
    quality = posterior @ NODES
    grades = np.array(categories, dtype=np.float64)
    above = np.diff(np.vstack([np.ones(len(NODES)), latent.above(0), np.zeros(len(NODES))]), axis=0)
    error = np.sqrt(np.maximum(0.0, posterior @ NODES**2 - quality**2))
    return OrdinalConsensus(posterior @ (-above.T @ grades), quality, error, latent.severities)
