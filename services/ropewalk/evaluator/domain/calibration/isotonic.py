"""From judges' scores to expected labels: several judges by ridge regression, their mixture by isotonic regression."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.evaluator.domain.clustered import numbered

_Floats = NDArray[np.float64]
Predictor = Callable[[_Floats], _Floats]
_FOLDS = 10
_PENALTIES = np.geomspace(0.01, 100, 9)  # of standardised scores, by label


def isotonic(scores: ArrayLike, labels: ArrayLike) -> tuple[_Floats, _Floats]:
    """The least-squares curve that never falls (pool adjacent violators, Ayer et al. 1955), both (n,).

    Returns its corners, the distinct scores in order, and its values there; between corners it is straight.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    corners, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    blocks: list[list[float]] = []  # value, weight, corners
    for value, weight in zip(np.bincount(place, y) / counts, counts, strict=True):
        blocks.append([float(value), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            above, below = blocks.pop(), blocks[-1]
            total = above[1] + below[1]
            blocks[-1] = [(above[0] * above[1] + below[0] * below[1]) / total, total, above[2] + below[2]]
    return corners, np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])


def fitted(scores: _Floats, labels: _Floats) -> Predictor:
    """A predictor from `scores` (n, judges) and `labels` (n,)."""
    mix = _ridge(scores, labels) if scores.shape[1] > 1 else _only
    corners, values = isotonic(mix(scores), labels)
    return lambda others: np.interp(mix(others), corners, values)


def cross_fitted(scores: _Floats, labels: _Floats, clusters: Sequence[object], seed: int) -> _Floats:
    """Predictions (items,) for all items; a labelled one's comes from labels of other clusters only.

    `scores` (items, judges), `labels` (items,) with NaN where there is none. What has no label gets the mean of all
    folds' predictors (Zrnic & Candès 2309.16598). At least two clusters have labels.
    """
    place = numbered(clusters)
    labelled = ~np.isnan(labels)
    with_labels = np.unique(place[labelled])
    folds = np.full(int(place.max()) + 1, -1)
    folds[np.random.default_rng(seed).permutation(with_labels)] = np.arange(len(with_labels)) % _FOLDS
    fold = np.where(labelled, folds[place], -1)
    total, used = np.zeros(len(labels)), min(_FOLDS, len(with_labels))
    for each in range(used):
        learned = labelled & (fold != each)
        predicted = fitted(scores[learned], labels[learned])(scores)
        total += np.where(fold == each, predicted, np.where(labelled, 0.0, predicted / used))
    return total


def _only(scores: _Floats) -> _Floats:
    return scores[:, 0]


def _ridge(scores: _Floats, labels: _Floats) -> Predictor:
    """The penalty is that whose leave-one-out error (Allen's PRESS 1974) is the least."""
    middle, spread = scores.mean(axis=0), scores.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    x, y, n = (scores - middle) / spread, labels - labels.mean(), len(labels)
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    best, coefficients = np.inf, np.zeros(x.shape[1])
    for penalty in _PENALTIES * n:
        kept = singular**2 / (singular**2 + penalty)
        residual = y - left @ (kept * (left.T @ y))
        press = float(((residual / (1 - 1 / n - (left**2) @ kept)) ** 2).sum())
        if press < best:
            best, coefficients = press, right.T @ (singular / (singular**2 + penalty) * (left.T @ y))
    return lambda others: (others - middle) / spread @ coefficients
