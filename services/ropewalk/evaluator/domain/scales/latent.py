"""One latent quality behind grades of several graders on several scales, and behind who beat whom.

Graded response (Samejima 1969) with the severity of graders (many-facet Rasch, Linacre 1989): an item of quality q gets
level k or higher with the chance sigmoid(slope * (q - severity - threshold[k])). Thresholds and slope are the scale's,
the severity the grader's, and q is normal with the mean 0 and the variance 1, which sets the unit. One item beats
another with the chance sigmoid(slope * (q - q')). Fitted by marginal likelihood on a grid of qualities; pairs, which
tie the qualities of two items together, by mean field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
NODES: _Floats = np.linspace(-4.5, 4.5, 61)
_SWEEPS, _STEPS = 8, 200
_USUAL_SLOPE = 2.5  # a grader whose grades correlate .8 with quality
_LOOSE = 0.02  # precision of the prior on thresholds and gaps, which only keeps levels that nobody used finite
_FIRM = 4.0  # of that on logs of slopes: two graders alone tell no more than the product of theirs


@dataclass(frozen=True)
class Given:
    """Grades by places, all (n,): `item`, `grader`, `level`; and pairs (pairs, 3): first, second, and what the
    first got, 0, .5 or 1."""

    num_items: int
    item: _Ints
    grader: _Ints
    level: _Ints
    pairs: _Floats = field(default_factory=lambda: np.zeros((0, 3)))


@dataclass(frozen=True)
class Latent:
    """`scale_of` the graders, (graders,); by scale the slope and the thresholds; by grader the severity, in units of
    the spread of qualities; the slope of pairs."""

    scale_of: tuple[int, ...]
    slopes: _Floats
    thresholds: tuple[_Floats, ...]
    severities: _Floats
    pair_slope: float = 1.0

    def chances(self, grader: int) -> _Floats:
        """(levels, nodes): of each level at each quality of NODES."""
        scale = self.scale_of[grader]
        away = NODES - self.severities[grader] - self.thresholds[scale][:, None]
        above = np.vstack([np.ones(len(NODES)), _sigmoid(self.slopes[scale] * away), np.zeros(len(NODES))])
        return np.asarray(np.maximum(above[:-1] - above[1:], 1e-12))

    def above(self, scale: int) -> _Floats:
        """(levels - 1, nodes): the chance of each level but the lowest, or a higher one, by a grader of no severity."""
        return _sigmoid(self.slopes[scale] * (NODES - self.thresholds[scale][:, None]))

    def typical(self, scale: int) -> _Floats:
        """(nodes,): the grade to expect from such a grader, from 0 for the lowest level to 1."""
        return np.asarray(self.above(scale).mean(axis=0))


def fit(given: Given, scale_of: Sequence[int], levels: Sequence[int]) -> tuple[Latent, _Floats]:
    """The model and the posterior of each item's quality, (items, nodes). `levels`: how many each scale has."""
    from scipy.optimize import minimize  # half a second of imports, only where something was graded

    shape = _Shape(tuple(scale_of), tuple(levels))
    tables = [_table(given, grader, levels[scale]) for grader, scale in enumerate(scale_of)]
    begin = shape.beginning(tables)
    last = np.tile(normal(0.0, 1.0), (given.num_items, 1))

    def cost(vector: _Floats) -> tuple[float, _Floats]:
        nonlocal last
        latent = shape.unpacked(vector)
        last, evidence = posterior(given.pairs, latent, tables, normal(0.0, 1.0), last)
        apart = vector - begin
        value = evidence - 0.5 * (shape.precisions * apart**2).sum()
        # Fisher's identity: the slope of the evidence is that of the expected whole likelihood.
        return -value, shape.precisions * apart - shape.slope(
            vector, latent, [table.T @ last for table in tables], given.pairs, last
        )

    found = minimize(cost, begin, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    latent = shape.unpacked(found.x)
    return latent, posterior(given.pairs, latent, tables, normal(0.0, 1.0), last)[0]


def posterior(
    pairs: _Floats, latent: Latent, tables: Sequence[_Floats], prior: _Floats, begin: _Floats
) -> tuple[_Floats, float]:
    """Of each item's quality, (items, nodes), and the log of the evidence (its lower bound where there are pairs).

    `tables` by grader: (items, levels), how often an item got each level. `prior` (nodes,); `begin` as the result.
    """
    own = np.log(prior) + np.zeros_like(begin)
    for grader, table in enumerate(tables):
        own += table @ np.log(latent.chances(grader))
    first, second, score = pairs[:, 0].astype(int), pairs[:, 1].astype(int), pairs[:, 2:]
    wins = _log_wins(latent.pair_slope)
    found = begin
    for _ in range(_SWEEPS if len(pairs) else 1):
        logs = own.copy()
        if len(pairs):
            np.add.at(logs, first, score * (found[second] @ wins.T) + (1 - score) * (found[second] @ wins))
            np.add.at(logs, second, score * (found[first] @ wins) + (1 - score) * (found[first] @ wins.T))
        highest = logs.max(axis=1, keepdims=True)
        total = np.exp(logs - highest).sum(axis=1, keepdims=True)
        found = np.exp(logs - highest) / total
    evidence = float((np.log(total) + highest).sum())
    if len(pairs):
        evidence -= float((found * logs).sum() - (found * own).sum()) - _of_pairs(pairs, found, wins)
    return found, evidence


def normal(mean: float, spread: float) -> _Floats:
    """(nodes,): the shares of a normal distribution at NODES."""
    weights = np.exp(-0.5 * ((NODES - mean) / spread) ** 2) + 1e-300
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class _Shape:
    """How parameters lie in one vector: of each scale the log of its slope, its first threshold and the logs of the
    gaps to the next ones; the severities; the log of the slope of pairs."""

    scale_of: tuple[int, ...]
    levels: tuple[int, ...]

    @property
    def starts(self) -> _Ints:
        """Where each scale begins, and then the severities."""
        return np.cumsum([0, *self.levels])

    @property
    def precisions(self) -> _Floats:
        """Of the normal prior around `beginning`."""
        found = np.full(self.starts[-1] + len(self.scale_of) + 1, _LOOSE)
        found[self.starts[:-1]] = found[-1] = _FIRM
        found[self.starts[-1] : -1] = 1.0
        return found

    def beginning(self, tables: Sequence[_Floats]) -> _Floats:
        """Thresholds where the shares of the levels put them if grades were the quality with some noise."""
        from scipy.stats import norm

        vector = np.zeros(self.starts[-1] + len(self.scale_of) + 1)
        for scale, (start, levels) in enumerate(zip(self.starts, self.levels, strict=False)):
            of = [table.sum(axis=0) for table, each in zip(tables, self.scale_of, strict=True) if each == scale]
            counts = np.sum(of, axis=0) + 0.5 if of else np.ones(levels)
            cuts = 1.3 * norm.ppf(np.cumsum(counts)[:-1] / counts.sum())
            vector[start] = np.log(_USUAL_SLOPE)
            vector[start + 1] = cuts[0]
            vector[start + 2 : start + levels] = np.log(np.diff(cuts))
        return vector

    def unpacked(self, vector: _Floats) -> Latent:
        parts = [vector[start : start + levels] for start, levels in zip(self.starts, self.levels, strict=False)]
        return Latent(
            self.scale_of,
            np.exp([part[0] for part in parts]),
            tuple(part[1] + np.concatenate([[0.0], np.cumsum(np.exp(part[2:]))]) for part in parts),
            vector[self.starts[-1] : -1],
            float(np.exp(vector[-1])),
        )

    def slope(
        self, vector: _Floats, latent: Latent, expected: Sequence[_Floats], pairs: _Floats, found: _Floats
    ) -> _Floats:
        """Of the expected log-likelihood by the vector; `expected` by grader: (levels, nodes)."""
        result = np.zeros_like(vector)
        for grader, (scale, counts) in enumerate(zip(self.scale_of, expected, strict=True)):
            start, steep = self.starts[scale], latent.slopes[scale]
            away = NODES - latent.severities[grader] - latent.thresholds[scale][:, None]  # (levels - 1, nodes)
            above = _sigmoid(steep * away)
            shares = counts / latent.chances(grader)
            by_logit = above * (1 - above) * (shares[1:] - shares[:-1])
            by_threshold = -steep * by_logit.sum(axis=1)
            result[start] += steep * (by_logit * away).sum()
            result[start + 1] += by_threshold.sum()
            later = np.cumsum(by_threshold[::-1])[::-1]  # a gap moves all thresholds above it
            result[start + 2 : start + self.levels[scale]] += later[1:] * np.exp(
                vector[start + 2 : start + self.levels[scale]]
            )
            result[self.starts[-1] + grader] += by_threshold.sum()
        if len(pairs):
            gaps = latent.pair_slope * (NODES[:, None] - NODES)
            result[-1] = _of_pairs(pairs, found, gaps * (1 - _sigmoid(gaps)))
        return result


def _of_pairs(pairs: _Floats, found: _Floats, by_win: _Floats) -> float:
    """The sum over pairs of what is expected of a table (nodes of the winner, nodes of the loser)."""
    first, second, score = found[pairs[:, 0].astype(int)], found[pairs[:, 1].astype(int)], pairs[:, 2]
    won, lost = ((first @ by_win) * second).sum(axis=1), ((second @ by_win) * first).sum(axis=1)
    return float((score * won + (1 - score) * lost).sum())


def _log_wins(slope: float) -> _Floats:
    return np.asarray(-np.logaddexp(0.0, -slope * (NODES[:, None] - NODES)))


def _table(given: Given, grader: int, levels: int) -> _Floats:
    """(items, levels): how often a grader gave each level."""
    mine, table = given.grader == grader, np.zeros((given.num_items, levels))
    np.add.at(table, (given.item[mine], given.level[mine]), 1.0)
    return table


def _sigmoid(x: _Floats) -> _Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
