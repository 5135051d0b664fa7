"""Does a judge that was calibrated on one use case measure another? A table of errors: learned here, tested there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.calibration.isotonic import cross_fitted, fitted
from ropewalk.evaluator.domain.calibration.judged import FEWEST_LABELS
from ropewalk.evaluator.domain.clustered import numbered, weighted_mean
from ropewalk.statistics.intervals import LEVEL, Interval

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UseCase:
    """Labelled items of one use case: `scores` (items, judges), `labels` (items,), `clusters` (items,)."""

    scores: _Floats
    labels: _Floats
    clusters: Sequence[object]


@dataclass(frozen=True)
class Transferred:
    """How far labels lie above what was predicted: the mean `bias` with its interval, and the mean distance `error`."""

    bias: Interval
    error: float

    @property
    def holds(self) -> bool:
        """Whether no bias was shown; few labels show little."""
        return self.bias.lower <= 0 <= self.bias.upper


def transfer(cases: Mapping[str, UseCase], *, seed: int, level: float = LEVEL) -> dict[tuple[str, str], Transferred]:
    """By (learned on, tested on). Where both are the same, predictions come from labels of other clusters.

    Raises ValueError where a use case has fewer labels than anything can be measured with.
    """
    if few := [name for name, case in cases.items() if len(case.labels) < FEWEST_LABELS]:
        raise ValueError(
            f"{few[0]} has {len(cases[few[0]].labels)} labels; below {FEWEST_LABELS} nothing is measurable"
        )
    table = {}
    for learned, source in cases.items():
        predict = fitted(source.scores, source.labels)
        for tested, case in cases.items():
            if learned == tested:
                predicted = cross_fitted(case.scores, case.labels, case.clusters, seed)
            else:
                predicted = predict(case.scores)
            table[learned, tested] = _errors(case.labels - predicted, case.clusters, seed, level)
    return table


def _errors(residuals: _Floats, clusters: Sequence[object], seed: int, level: float) -> Transferred:
    bias, _ = weighted_mean(residuals, np.ones(len(residuals)), numbered(clusters), seed=seed, level=level)
    return Transferred(bias, float(np.abs(residuals).mean()))
