"""A metric that people's labels measure and judges' scores sharpen: `domain/calibration` behind a `Measurement`."""

from collections.abc import Mapping
from dataclasses import dataclass

from ropewalk.evaluator.domain.calibration.judged import (
    Calibrated,
    JudgedItems,
    NotMeasurable,
    calibrated_gain,
    calibrated_mean,
)
from ropewalk.evaluator.domain.metric import CANDIDATE, Measurement
from ropewalk.events.evaluation import LABELLED
from ropewalk.statistics.intervals import Interval, Spread

_ALONE = "mean of drawn labels, each over its chance, the wider of bootstrap-t and jackknife-t over clusters"
_UNKNOWN = Interval(0.0, float("-inf"), float("inf"))


@dataclass(frozen=True, kw_only=True)
class LabelledAnswers(Measurement):
    """`samples` by scorer, of the same items with the same labels drawn; `judges` are those whose scores are in them.

    `rows` may be empty: where no judge is asked, an item without a label has no score.
    """

    samples: Mapping[str, JudgedItems]
    judges: tuple[str, ...] = ()

    @property
    def scorers(self) -> tuple[str, ...]:
        """See Measurement."""
        return tuple(self.samples)

    @property
    def tasks(self) -> str:
        """See Measurement."""
        return f"{LABELLED} of {self.metric.task_set}"

    def level_of(self, scorer: str, seed: int, level: float) -> Spread:
        """See Measurement. The bounds are infinite where there are too few labels."""
        found = calibrated_mean(self.samples[scorer], seed=seed, level=level) if self._is_spread else self._few
        return self._spread(found, level)

    def gain_over(self, scorer: str, seed: int, level: float) -> Spread:
        """See Measurement."""
        return self._spread(self.calibrated(scorer, seed, level), level)

    def calibrated(self, scorer: str, seed: int, level: float) -> Calibrated | NotMeasurable:
        """The gain over a scorer."""
        if not self._is_spread:
            return self._few
        return calibrated_gain(self.samples[CANDIDATE], self.samples[scorer], seed=seed, level=level)

    @property
    def _few(self) -> NotMeasurable:
        labels = self.samples[CANDIDATE].labels
        return NotMeasurable(num_labels=int((labels == labels).sum()))  # NaN is not itself

    @property
    def _is_spread(self) -> bool:
        """Labels of one cluster say nothing about others."""
        sample = self.samples[CANDIDATE]
        return (
            len({str(each) for each, label in zip(sample.clusters, sample.labels, strict=True) if label == label}) > 1
        )

    def _spread(self, found: Calibrated | NotMeasurable, level: float) -> Spread:
        if isinstance(found, NotMeasurable):
            return Spread(_UNKNOWN, found.num_labels, 0, found.sentence, level)
        who = f"{found.method}; judged by {', '.join(self.judges)}, which makes a label worth {found.factor:.2f}"
        method = who if self.judges else _ALONE
        return Spread(found.interval, found.num_labels, found.num_clusters, method, level)
