"""Has a judge moved away from the people it was calibrated on?

Of each answer that a person grades too, the residual is the judge's grade less the person's. The evidence that their
mean is no longer that of the calibration is a Bayes factor: a normal prior of the standardised shift (spread PRIOR)
against none, with the right Haar prior of the common mean and spread (location and scale cancel). It may be looked at
after every label: under no drift it ever exceeds 1 / a with probability a at most, exactly for normal residuals
(Pérez-Ortiz, Lardy, de Heide & Grünwald 2024, arXiv 2208.07610; the prior's integral as in Zellner 1986).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

FALSE_ALARMS = 0.05  # of judges that never drift, for good
MIN_LABELS = 20  # of a calibration
PRIOR = 0.5  # standard deviations of a residual


@dataclass(frozen=True)
class Sums:
    """Of some residuals: how many, their mean, and the sum of their squared deviations from it."""

    count: int = 0
    mean: float = 0.0
    deviations: float = 0.0

    def add(self, value: float) -> "Sums":
        """With one more (Welford 1962)."""
        count, off = self.count + 1, value - self.mean
        mean = self.mean + off / count
        return Sums(count, mean, self.deviations + off * (value - mean))


@dataclass(frozen=True)
class Probation:
    """A state to fold over: `see` returns the next one. `evidence` is the highest logarithm of the factor so far."""

    calibrated: Sums
    span: float
    seen: Sums = Sums()
    evidence: float = 0.0

    def see(self, residual: float) -> "Probation":
        """The state after one more residual. Raises ValueError beyond the span of the grades."""
        _check(residual, self.span)
        seen = self.seen.add(residual)
        return replace(self, seen=seen, evidence=max(self.evidence, _log_factor(self.calibrated, seen)))

    @property
    def has_drifted(self) -> bool:
        """Whether the judge has lost its right; only a new calibration gives it back."""
        return self.evidence >= math.log(1 / FALSE_ALARMS)

    @property
    def drift(self) -> float:
        """How far the mean residual is from the calibrated one, in grades; 0 before the first."""
        return self.seen.mean - self.calibrated.mean if self.seen.count else 0.0


def begin(residuals: Sequence[float], span: float) -> Probation:
    """From the residuals of the calibration; `span`: the largest grade less the smallest. Raises ValueError of few."""
    if len(residuals) < MIN_LABELS:
        raise ValueError(f"{len(residuals)} graded answers cannot tell a later drift: calibrate with {MIN_LABELS}")
    sums = Sums()
    for residual in residuals:
        _check(residual, span)
        sums = sums.add(residual)
    return Probation(sums, span)


def _check(residual: float, span: float) -> None:
    if not abs(residual) <= span:
        raise ValueError(f"a residual of {residual:g} on a scale with a span of {span:g}")


def _log_factor(before: Sums, after: Sums) -> float:
    """The logarithm of the Bayes factor for a shift between the two."""
    count = before.count + after.count
    weight = before.count * after.count / count  # what a shift adds to the sum of squares, for each unit squared
    explained = weight * (after.mean - before.mean) ** 2
    total = before.deviations + after.deviations + explained
    if total == 0.0:  # every residual is the same
        return 0.0
    spread = PRIOR**2 * weight
    left = 1 - explained / total * spread / (1 + spread)
    return -0.5 * math.log1p(spread) - 0.5 * (count - 1) * math.log(left)
