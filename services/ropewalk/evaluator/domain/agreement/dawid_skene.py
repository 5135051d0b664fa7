"""What an item is when raters err in their own ways: Dawid & Skene's model (1979), fitted by EM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.statistics.ratings import Ratings, coded

_Floats = NDArray[np.float64]
_ROUNDS, _STILL = 2000, 1e-10


@dataclass(frozen=True)
class Consensus:
    """What raters together say. The posterior is kept: an argmax would hide who is unsure.

    `priors` (classes,), `confusion` (raters, true class, said class), `posterior` (items, classes).
    """

    classes: tuple[object, ...]
    raters: tuple[object, ...]
    priors: _Floats
    confusion: _Floats
    posterior: _Floats


def dawid_skene(ratings: Ratings, raters: Sequence[object] | None = None, pseudocount: float = 0.0) -> Consensus:
    """EM from the shares of votes.

    `ratings` is rows x items; `raters` names who each row is by, and rows of one name are repeats of one rater (by
    default every row is a rater). `pseudocount`: of a Dirichlet prior on the classes and on every row of every
    confusion; 0 is the paper's. Raises ValueError where nobody rated an item.
    """
    codes, classes = coded(ratings)
    names = list(range(len(codes))) if raters is None else list(raters)
    of = tuple(dict.fromkeys(names))
    said = np.zeros((len(of), codes.shape[1], len(classes)))
    for name, row in zip(names, codes, strict=True):
        rated = np.flatnonzero(row >= 0)
        said[of.index(name), rated, row[rated]] += 1
    votes = said.sum(axis=0)
    if (missing := np.flatnonzero(votes.sum(axis=1) == 0)).size:
        raise ValueError(f"nobody rated item {missing[0]}")
    posterior = votes / votes.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        priors, confusion = _maximised(said, posterior, pseudocount)
        before, posterior = posterior, _expected(said, priors, confusion)
        if np.abs(posterior - before).max() < _STILL:
            break
    return Consensus(classes, of, priors, confusion, posterior)


def _maximised(said: _Floats, posterior: _Floats, pseudocount: float) -> tuple[_Floats, _Floats]:
    priors = posterior.sum(axis=0) + pseudocount
    confusion = np.einsum("ric,it->rtc", said, posterior) + pseudocount
    total = confusion.sum(axis=2, keepdims=True)
    # A rater who never met a class tells nothing of how they would name it.
    confusion = np.divide(confusion, total, out=np.full_like(confusion, 1 / said.shape[2]), where=total > 0)
    return priors / priors.sum(), confusion


def _expected(said: _Floats, priors: _Floats, confusion: _Floats) -> _Floats:
    with np.errstate(divide="ignore"):
        logs, base = np.log(confusion), np.log(priors)
    # What was said as often as never must not turn an impossible class into nothing times infinity.
    weights = base + np.einsum("ric,rtc->it", said, np.maximum(logs, -1e6))
    weights = np.exp(weights - weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
