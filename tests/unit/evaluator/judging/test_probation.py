import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ropewalk.evaluator.domain.judging.probation import MIN_LABELS, PRIOR, Probation, begin


def drawn(seed: int, count: int, mean: float, spread: float = 0.5) -> list[float]:
    return [float(each) for each in np.clip(np.random.default_rng(seed).normal(mean, spread, count), -3, 3)]


def watched(state: Probation, residuals: list[float]) -> int:
    """After how many it has drifted; 0: never."""
    for count, residual in enumerate(residuals, start=1):
        state = state.see(residual)
        if state.has_drifted:
            return count
    return 0


def test_a_judge_that_moves_by_a_third_of_a_grade_is_found_within_200() -> None:
    found = [watched(begin(drawn(seed, 100, -0.2), 3), drawn(1000 + seed, 200, 0.1)) for seed in range(40)]
    assert sum(each > 0 for each in found) >= 36


def test_a_judge_that_stays_as_it_was_keeps_its_right_however_often_one_looks() -> None:
    alarms = [watched(begin(drawn(seed, 50, -0.2), 3), drawn(1000 + seed, 500, -0.2)) for seed in range(60)]
    assert sum(each > 0 for each in alarms) <= 6  # 3 expected at most; 7 or more has a chance of 3 %


def test_the_evidence_is_the_bayes_factor_that_an_integral_gives() -> None:
    before, after = drawn(1, 30, 0.0), [0.7, 0.4, 0.9, 0.6, 1.1]  # the evidence grows with each, so the last is highest
    state = begin(before, 3)
    for residual in after:
        state = state.see(residual)
    assert state.evidence == pytest.approx(_log_factor(np.array(before), np.array(after)), abs=1e-5)


def _log_factor(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """On a grid of standardised shifts d and log spreads; the common mean is projected out, which is its integral."""
    values = np.concatenate([before, after])
    moved = np.repeat([0.0, 1.0], [len(before), len(after)])
    values, moved = values - values.mean(), moved - moved.mean()
    shifts, logs = np.linspace(-4, 4, 801)[:, None, None], np.linspace(-3, 2, 801)[None, :, None]
    spreads = np.exp(logs)
    misfit = ((values - shifts * spreads * moved) ** 2).sum(-1) / (2 * spreads[..., 0] ** 2)
    likelihood = np.exp(-(len(values) - 1) * logs[..., 0] - misfit).sum(-1)  # (801,), up to one factor for all
    prior = np.exp(-0.5 * (shifts[:, 0, 0] / PRIOR) ** 2)
    return math.log((prior @ likelihood) / prior.sum() / likelihood[400])


def test_too_few_labels_and_impossible_residuals_are_refused() -> None:
    with pytest.raises(ValueError, match=f"calibrate with {MIN_LABELS}"):
        begin(drawn(1, MIN_LABELS - 1, 0.0), 3)
    with pytest.raises(ValueError, match="span of 3"):
        begin(drawn(1, MIN_LABELS, 0.0), 3).see(3.5)
    with pytest.raises(ValueError, match="nan"):
        begin(drawn(1, MIN_LABELS, 0.0), 3).see(math.nan)


def test_a_judge_that_always_agrees_has_no_drift() -> None:
    state = begin([0.0] * MIN_LABELS, 3)
    assert not state.see(0.0).has_drifted
    assert state.drift == 0.0
