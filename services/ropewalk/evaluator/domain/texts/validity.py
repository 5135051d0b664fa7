"""Does a text metric say what people say? Its rank correlation with labels of this task set, or "not measured"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ropewalk.evaluator.domain.agreement.correlation import rank_interval
from ropewalk.evaluator.domain.calibration.judged import FEWEST_LABELS
from ropewalk.statistics.intervals import Interval

PASSES = 0.3  # the lower bound of the correlation with which a text metric may stand in a gate


@dataclass(frozen=True)
class Validity:
    """`correlation` is None where nothing was measured."""

    correlation: Interval | None
    num_labels: int

    @property
    def may_gate(self) -> bool:
        """Whether the metric's order of items is surely not far from people's."""
        return self.correlation is not None and self.correlation.lower > PASSES

    @property
    def sentence(self) -> str:
        """What is written beside every figure of the metric."""
        if self.correlation is None:
            return f"not measured: {self.num_labels} labels on this task set, {FEWEST_LABELS} are needed"
        found = self.correlation
        return (
            f"rank correlation with {self.num_labels} human labels on this task set: "
            f"{found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}]"
        )


def validity(values: ArrayLike, labels: ArrayLike, clusters: Sequence[object], *, seed: int) -> Validity:
    """`values` of the metric and `labels` by item, NaN where nobody labelled; `clusters` has one name per item."""
    x, y = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    labelled = np.flatnonzero(~np.isnan(y))
    if len(labelled) < FEWEST_LABELS:
        return Validity(None, len(labelled))
    names = [clusters[item] for item in labelled]
    return Validity(rank_interval(x[labelled], y[labelled], names, seed=seed), len(labelled))
