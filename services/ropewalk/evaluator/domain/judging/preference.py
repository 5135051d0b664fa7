"""Which of two answers judges prefer, and what of it is their taste for the first, the longer or their own family's.

    logit P(first wins) = strength(first) - strength(second) + position_j + length_j Δ + family_j o

for judge j, Δ the difference of the logarithms of the two lengths, o = 1 where the first answer is of the judge's own
family, -1 where the second is, else 0. Every pair is judged in both orders. The strengths are common to all judges, so
that a preference for the own family can be told from quality: by judges of other families. A tie counts as half a win
(quasi-likelihood, Papke & Wooldridge 1996). Length-controlled win rates: Dubois et al. 2024 (arXiv 2404.04475). Errors
are robust to clusters (Liang & Zeger 1986) with Student's t of as many degrees as there are clusters less one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ropewalk.statistics.intervals import LEVEL, Interval

MIN_CLUSTERS = 20  # fewer do not tell how far an estimate may be off
Bias = Literal["position", "length", "family"]
BIASES: tuple[Bias, ...] = ("position", "length", "family")
_PRIOR = 0.02  # of a normal prior, 1 / variance: keeps a bias finite that decided every pair
_STEPS, _PRECISION = 50, 1e-10
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class JudgedPair:
    """One judge's word on two answers, in the order in which it saw them. `outcome`: 1 the first won, 0.5 tie, 0."""

    judge: str
    first: str
    second: str
    cluster: str
    outcome: float
    log_length_difference: float = 0.0
    own: int = 0


@dataclass(frozen=True)
class Preferences:
    """What was fitted: the columns by name, their coefficients (p,), and their covariance (p, p)."""

    columns: tuple[tuple[str, str], ...]
    coefficients: _Floats
    covariance: _Floats
    num_clusters: int

    def bias(self, kind: Bias, judge: str) -> Interval | None:
        """In logits; for `length`, for answers e times as long. None: nothing varied that would show it."""
        if (kind, judge) not in self.columns:
            return None
        return self._interval({(kind, judge): 1.0})

    def win_rate(self, ours: str, theirs: str) -> Interval:
        """How often `ours` would win before judges without the fitted biases. Raises KeyError of unknown models."""
        known = {model for kind, model in self.columns if kind == "strength"} | {self._reference}
        if missing := {ours, theirs} - known:
            raise KeyError(f"nobody compared {', '.join(sorted(missing))}")
        logit = self._interval({("strength", ours): 1.0, ("strength", theirs): -1.0})
        return Interval(*(float(1 / (1 + np.exp(-bound))) for bound in (logit.value, logit.lower, logit.upper)))

    @property
    def _reference(self) -> str:
        return next(model for kind, model in self.columns if kind == "reference")

    def _interval(self, weights: dict[tuple[str, str], float]) -> Interval:
        from scipy.stats import t  # half a second of imports, only where something was measured

        fitted = [column for column in self.columns if column[0] != "reference"]
        contrast = np.array([weights.get(column, 0.0) for column in fitted])  # the reference has strength 0
        value = float(contrast @ self.coefficients)
        reach = float(t.ppf((1 + LEVEL) / 2, self.num_clusters - 1) * (contrast @ self.covariance @ contrast) ** 0.5)
        return Interval(value, value - reach, value + reach)


def fit(comparisons: Sequence[JudgedPair], biases: Sequence[Bias] = BIASES) -> Preferences:
    """Strengths of all models and the named biases of all judges; a bias that nothing could show is left out.

    Raises ValueError below MIN_CLUSTERS clusters.
    """
    clusters = sorted({each.cluster for each in comparisons})
    if len(clusters) < MIN_CLUSTERS:
        raise ValueError(
            f"{len(clusters)} groups of pairs that vary together cannot tell a judge's biases: "
            f"compare pairs of at least {MIN_CLUSTERS}"
        )
    models = sorted({each.first for each in comparisons} | {each.second for each in comparisons})
    judges = sorted({each.judge for each in comparisons})
    named = [("strength", model) for model in models[1:]] + [(kind, judge) for kind in biases for judge in judges]
    design = np.array([[_entry(each, column) for column in named] for each in comparisons])  # (n, p)
    shown = [place for place in range(len(named)) if np.any(design[:, place])]
    shown = _independent(design, shown)
    groups = np.searchsorted(clusters, [each.cluster for each in comparisons])
    outcomes = np.array([each.outcome for each in comparisons])
    coefficients, covariance = _logistic(design[:, shown], outcomes, groups, len(clusters))
    columns = (("reference", models[0]), *(named[place] for place in shown))
    return Preferences(columns, coefficients, covariance, len(clusters))


def raw_win_rate(comparisons: Sequence[JudgedPair], ours: str) -> float:
    """The share that `ours` won as it was judged, a tie being half."""
    won = [each.outcome if each.first == ours else 1 - each.outcome for each in comparisons]
    return float(np.mean(won))


def _entry(each: JudgedPair, column: tuple[str, str]) -> float:
    kind, name = column
    if kind == "strength":
        return float((each.first == name) - (each.second == name))
    of = {"position": 1.0, "length": each.log_length_difference, "family": float(each.own)}
    return of[kind] if each.judge == name else 0.0


def _independent(design: _Floats, places: Sequence[int]) -> list[int]:
    """The columns that say something the ones before them do not: quality before bias."""
    kept: list[int] = []
    for place in places:
        if np.linalg.matrix_rank(design[:, [*kept, place]]) > len(kept):
            kept.append(place)
    return kept


def _logistic(
    design: _Floats, outcomes: _Floats, groups: NDArray[np.int64], num_groups: int
) -> tuple[_Floats, _Floats]:
    """Newton's method; coefficients (p,), and their covariance (p, p) with the sandwich over groups."""
    count = design.shape[1]
    prior, beta = _PRIOR * np.eye(count), np.zeros(count)
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-(design @ beta)))
        bread = design.T @ (design * (expected * (1 - expected))[:, None]) + prior
        step = np.linalg.solve(bread, design.T @ (outcomes - expected) - prior @ beta)
        beta = beta + step
        if np.abs(step).max(initial=0.0) < _PRECISION:
            break
    scores = np.zeros((num_groups, count))
    np.add.at(scores, groups, design * (outcomes - 1 / (1 + np.exp(-(design @ beta))))[:, None])
    half = np.linalg.solve(bread, scores.T)  # (p, groups)
    return beta, num_groups / (num_groups - 1) * (half @ half.T)
