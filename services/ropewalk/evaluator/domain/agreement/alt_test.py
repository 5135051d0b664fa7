"""May a judge stand in for a rater? The alternative annotator test of Calderon, Reichart and Dror (2501.10970).

Each rater is left out in turn, and the judge and that rater are compared by how close they are to the others on every
shared item. The judge wins against a rater whose lead, less the bonus `epsilon` for what a human costs, is below 0.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.evaluator.domain.agreement.correlation import spearman
from ropewalk.statistics.ratings import Ratings, contingency, counted, numbers

EXPERTS, SKILLED, CROWD = 0.2, 0.15, 0.1  # epsilon, by who the raters are
FEWEST = 30  # items that a rater shares with others and the judge
_FALSE, _ENOUGH = 0.05, 0.5
_Floats = NDArray[np.float64]
Verdict = Literal["replace", "assist", "reject"]


@dataclass(frozen=True)
class AltTest:
    """`winning_rate` (omega): the share of raters that the judge beats. `advantage` (rho): how often, on average, it is
    at least as close to the others as the rater left out. `p_values` by rater, NaN below FEWEST shared items."""

    winning_rate: float
    advantage: float
    p_values: tuple[float, ...]
    advantages: tuple[float, ...]
    verdict: Verdict


def alt_test(
    judge: ArrayLike, ratings: Ratings, *, graded: bool, epsilon: float = EXPERTS, fewest: int = FEWEST
) -> AltTest:
    """`judge` (items,) and `ratings` raters x items, numbers, None or NaN where nothing was said.

    `graded`: closeness is minus the root mean squared distance; else it is the share of others with the same class.
    The verdict is `replace` where omega is at least .5 (raters by Benjamini & Yekutieli at 5 %), `assist` where the
    judge at least ranks or sorts like the raters beyond chance, else `reject`. Raises ValueError where no rater has
    enough items beside at least one other.
    """
    table, scores = numbers(ratings), np.asarray(judge, dtype=np.float64)
    found = [_against(scores, table, rater, graded, epsilon, fewest) for rater in range(len(table))]
    p_values, advantages = (np.array(each) for each in zip(*found, strict=True))
    if np.isnan(p_values).all():
        raise ValueError(f"no rater shares {fewest} items with another and the judge: not measurable")
    asked = ~np.isnan(p_values)
    omega, rho = float(beaten(p_values[asked]).mean()), float(advantages[asked].mean())
    verdict: Verdict = "replace" if omega >= _ENOUGH else "assist" if _tells(scores, table, graded) else "reject"
    return AltTest(omega, rho, tuple(map(float, p_values)), tuple(map(float, advantages)), verdict)


def beaten(p_values: ArrayLike, false_discoveries: float = _FALSE) -> NDArray[np.bool_]:
    """Which hypotheses fall by Benjamini & Yekutieli (2001), which holds under any dependence; (n,) to (n,)."""
    p = np.asarray(p_values, dtype=np.float64)
    ranks = np.arange(1, len(p) + 1)
    bounds = ranks * false_discoveries / (len(p) * (1 / ranks).sum())
    below = np.flatnonzero(np.sort(p) <= bounds)
    return np.asarray(p <= np.sort(p)[below[-1]]) if below.size else np.zeros(len(p), dtype=bool)


def _against(
    judge: _Floats, table: _Floats, rater: int, graded: bool, epsilon: float, fewest: int
) -> tuple[float, float]:
    """The p-value of "the rater is better by epsilon or more" and the judge's advantage."""
    from scipy.stats import t  # half a second of imports, only where a judge is tested

    others = np.delete(table, rater, axis=0)
    shared = ~np.isnan(judge) & ~np.isnan(table[rater]) & ~np.isnan(others).all(axis=0)
    n = int(shared.sum())
    if n < max(2, fewest):
        return float("nan"), float("nan")
    theirs, ours = (_closeness(each[shared], others[:, shared], graded) for each in (table[rater], judge))
    lead = (theirs >= ours) * 1.0 - (ours >= theirs)  # 1: only the rater is closer, -1: only the judge, 0: both
    error = lead.std(ddof=1) / np.sqrt(n)
    away = lead.mean() - epsilon
    p = float(t.cdf(away / error, n - 1)) if error > 0 else float(away >= 0)
    return p, float((ours >= theirs).mean())


def _closeness(said: _Floats, others: _Floats, graded: bool) -> _Floats:
    if graded:
        return np.asarray(-np.sqrt(np.nanmean((others - said) ** 2, axis=0)))
    known = ~np.isnan(others)
    return np.asarray(((others == said) & known).sum(axis=0) / known.sum(axis=0))


def _tells(judge: _Floats, table: _Floats, graded: bool) -> bool:
    """Whether the judge tells items apart as the raters do, one-sided at 5 %: by rank, or by class beyond chance."""
    from scipy.stats import binom, norm

    rated = ~np.isnan(judge) & ~np.isnan(table).all(axis=0)
    scores, grades = judge[rated], table[:, rated]
    n = len(scores)
    if graded:
        rank = spearman(scores, np.nanmean(grades, axis=0))
        return bool(np.arctanh(min(rank, 1 - 1e-12)) * np.sqrt(max(0, n - 3)) > norm.ppf(1 - _FALSE))
    votes, classes = counted(grades)
    shares = contingency(scores.tolist(), [classes[place] for place in votes.argmax(axis=1)]) / n
    chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    return bool(binom.sf(round(float(np.trace(shares)) * n) - 1, n, chance) < _FALSE)
