"""A judge's scores with few labels: the mean label of all items or the difference of two models, and its worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.calibration.isotonic import cross_fitted
from ropewalk.evaluator.domain.calibration.labels import checked
from ropewalk.evaluator.domain.calibration.powered import Known, powered
from ropewalk.statistics.intervals import LEVEL, Interval

FEWEST_LABELS = 20
_METHOD = "PPI++ on cross-fitted isotonic predictions, the wider of bootstrap-t and jackknife-t over clusters"
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class JudgedItems:
    """Items that judges scored and of which some were drawn and labelled, all by item.

    `scores` (items, judges), `labels` (items,) with NaN where there is none, `chances` (items,) of being drawn (of
    items without a label they do not matter), `clusters` (items,), and the lowest and the highest label there can be.
    """

    scores: _Floats
    labels: _Floats
    chances: _Floats
    clusters: Sequence[object]
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class NotMeasurable:
    """Too few labels for a number."""

    num_labels: int

    @property
    def sentence(self) -> str:
        """What is missing."""
        wanted = FEWEST_LABELS - self.num_labels
        return f"not measurable: {self.num_labels} labels are below {FEWEST_LABELS}, draw at least {wanted} more"


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """`interval` with the judges, `labels_only` without; `predictions` (items,) of what a label would be.

    `power` is how far the judges were believed, from 0 to 1. `factor`: how many labels alone would be needed for this
    interval, by label that there was.
    """

    interval: Interval
    labels_only: Interval
    power: float
    predictions: _Floats
    num_labels: int
    num_items: int
    num_clusters: int
    level: float
    method: str = _METHOD

    @property
    def factor(self) -> float:
        """Squared: an interval is half as wide with four times as many labels."""
        ours, alone = (each.upper - each.lower for each in (self.interval, self.labels_only))
        return (alone / ours) ** 2 if 0 < ours < np.inf else 1.0

    @property
    def sentence(self) -> str:
        """The number, what it rests on, and the bound that theory puts on what a judge can save."""
        value, lower, upper = self.interval.value, self.interval.lower, self.interval.upper
        return (
            f"{value:.3f} [{lower:.3f}, {upper:.3f}] from {self.num_labels} labels and {self.num_items} judged items; "
            f"the judge makes one label worth {self.factor:.2f} (a judge that is no better than the model it judges "
            "cannot make it worth more than 2: Dorner et al., arXiv 2410.13341)"
        )

    def labels_wanted(self, reach: float) -> int:
        """How many more labels an interval takes that reaches so far to each side, other things being equal."""
        now = (self.interval.upper - self.interval.lower) / 2
        return max(0, int(np.ceil(self.num_labels * ((now / reach) ** 2 - 1)))) if now < np.inf else FEWEST_LABELS


def calibrated_mean(sample: JudgedItems, *, seed: int, level: float = LEVEL) -> Calibrated | NotMeasurable:
    """The mean label of all items. Raises ValueError where a label was not drawn with a known chance."""
    if (few := _few(sample.scores, sample.labels)) is not None:
        return few
    predictions = cross_fitted(sample.scores, sample.labels, sample.clusters, seed)
    return _measured(sample, predictions, seed, level)


def calibrated_gain(
    ours: JudgedItems, theirs: JudgedItems, *, seed: int, level: float = LEVEL
) -> Calibrated | NotMeasurable:
    """The mean of our label less theirs of the same items, in the same order with the same chances and clusters.

    One curve from scores to labels serves both models; the labels of an item are a pair or none.
    """
    labels = ours.labels - theirs.labels
    if (few := _few(np.vstack([ours.scores, theirs.scores]), labels)) is not None:
        return few
    drawn = np.isnan(labels)
    both = [np.where(drawn, np.nan, each.labels) for each in (ours, theirs)]
    clusters = [*ours.clusters, *theirs.clusters]
    predictions = cross_fitted(np.vstack([ours.scores, theirs.scores]), np.concatenate(both), clusters, seed)
    mine, other = np.split(predictions, 2)
    least, most = ours.span
    return _measured(replace(ours, labels=labels, span=(least - most, most - least)), mine - other, seed, level)


def _few(scores: _Floats, labels: _Floats) -> NotMeasurable | None:
    if not np.isfinite(scores).all():
        raise ValueError("an item has no score: what a judge did not grade is left out and told, never guessed")
    count = int((~np.isnan(labels)).sum())
    return NotMeasurable(num_labels=count) if count < FEWEST_LABELS else None


def _measured(sample: JudgedItems, predictions: _Floats, seed: int, level: float) -> Calibrated:
    drawn = ~np.isnan(sample.labels)
    checked(sample.chances[drawn])
    if not ((sample.labels[drawn] >= sample.span[0]) & (sample.labels[drawn] <= sample.span[1])).all():
        raise ValueError(f"a label lies outside of {sample.span[0]:g} to {sample.span[1]:g}")
    known = Known(
        labels=sample.labels,
        predictions=predictions,
        chances=sample.chances,
        clusters=sample.clusters,
        span=sample.span,
    )
    interval, power = powered(known, seed=seed, level=level)
    nothing = np.full(len(predictions), sample.span[0])
    alone, _ = powered(replace(known, predictions=nothing), seed=seed, level=level)
    return Calibrated(
        interval=interval,
        labels_only=alone,
        power=power,
        predictions=predictions,
        num_labels=int(drawn.sum()),
        num_items=len(predictions),
        num_clusters=len({str(each) for each, has in zip(sample.clusters, drawn, strict=True) if has}),
        level=level,
    )
