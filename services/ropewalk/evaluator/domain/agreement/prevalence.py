"""The true share of something that a judge with known errors counted: Rogan & Gladen (1978)."""

from statistics import NormalDist

from ropewalk.statistics.intervals import LEVEL, Interval


def rogan_gladen(apparent: float, sensitivity: float, specificity: float) -> float:
    """From the share that the judge passed to the true one, within 0 and 1; all three are shares.

    Raises ValueError where the judge is no better than chance: then its count says nothing.
    """
    if sensitivity + specificity <= 1:
        raise ValueError(f"sensitivity {sensitivity:.3g} and specificity {specificity:.3g} are no better than chance")
    return min(1.0, max(0.0, (apparent + specificity - 1) / (sensitivity + specificity - 1)))


Count = tuple[float, int]
"""Hits and trials."""


def rogan_gladen_interval(passed: Count, positives: Count, negatives: Count, level: float = LEVEL) -> Interval:
    """With the interval of Lang & Reiczigel (2014) as in Lee et al. (2511.21140): the judge's errors were counted, too.

    `passed`: items that the judge passed; `positives` and `negatives`: of the truly good and the truly bad labelled
    ones, those that the judge named rightly. Raises ValueError where the judge is no better than chance.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    value = rogan_gladen(*(hits / trials for hits, trials in (passed, positives, negatives)))
    (apparent, n), (right, of_good), (wrong, of_bad) = (
        ((hits + extra / 2) / (trials + extra), trials + extra)
        for (hits, trials), extra in ((passed, z**2), (positives, 2), (negatives, 2))
    )
    slope = right + wrong - 1
    if slope <= 0:
        raise ValueError("the judge is no better than chance on so few labels")
    share = (apparent + wrong - 1) / slope
    of_right, of_wrong = right * (1 - right) / of_good, wrong * (1 - wrong) / of_bad
    middle = share + 2 * z**2 * (share * of_right - (1 - share) * of_wrong)
    error = (apparent * (1 - apparent) / n + share**2 * of_right + (1 - share) ** 2 * of_wrong) ** 0.5 / slope
    return Interval(value, min(1.0, max(0.0, middle - z * error)), min(1.0, max(0.0, middle + z * error)))
