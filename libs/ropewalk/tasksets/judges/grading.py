"""A grade from how likely a judge finds each next token, so that no answer of a judge is unreadable.

The expected grade Σ g p(g), p being shared out over the grades alone, has no sampling noise and works with any model
that tells log-probabilities (G-Eval, Liu et al. 2023, arXiv 2303.16634, section 2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEAST_MASS = 0.05  # of the next token: a judge that hardly thinks of a grade has not graded


@dataclass(frozen=True)
class Grade:
    """The expected grade, how likely each grade is among the grades, and what share of all tokens the grades had."""

    expected: float
    probabilities: tuple[float, ...]
    mass: float


def graded(next_token: Mapping[str, float], grades: Sequence[int]) -> Grade | None:
    """The grade that natural log-probabilities of the next token tell; None: not graded, which is never a zero.

    `2` and ` 2` are one grade. What is no finite log-probability of a grade is passed over.
    """
    weights = {str(grade): 0.0 for grade in grades}
    for token, logprob in next_token.items():
        if token.strip() in weights and logprob <= 0:  # NaN compares as false
            weights[token.strip()] += math.exp(logprob)
    mass = math.fsum(weights.values())
    if mass < LEAST_MASS:
        return None
    shares = tuple(weight / mass for weight in weights.values())
    expected = math.fsum(grade * share for grade, share in zip(grades, shares, strict=True))
    return Grade(expected, shares, min(mass, 1.0))
