"""What more examples would bring, against curves that are known."""

import numpy as np
import pytest
from scipy.stats import binom

from ropewalk.usecases.learning_curve import LEAST_DIFFERING, Bounded, Outlook, advice, forecast

SIZES = (100, 200, 400)
_EXAMPLES, _CLUSTERS, _TRIES = 120, 30, 100


def errors(floor: float, scale: float, power: float) -> list[float]:
    """Of the three sizes and of twice the last one."""
    return [floor + scale * (size / 100) ** -power for size in (*SIZES, 800)]


def sampled(curve: list[float], seed: int) -> Outlook:
    """One evaluation: clusters of unequal size are hard or easy, and most examples are answered alike at all sizes."""
    chance = np.random.default_rng(seed)
    place = chance.integers(_CLUSTERS, size=_EXAMPLES)
    hard = chance.uniform(0.4, 1.6, size=_CLUSTERS)[place]
    same = chance.random(_EXAMPLES)
    mixed = [np.where(chance.random(_EXAMPLES) < 0.7, same, chance.random(_EXAMPLES)) for _ in SIZES]
    scores = np.stack([1.0 - (each < hard * error) for each, error in zip(mixed, curve, strict=False)], axis=1)
    return forecast(SIZES, [str(each) for each in place], scores, room=1.0)


@pytest.mark.parametrize("law", [(0.05, 0.3, 0.5), (0.1, 0.2, 1.0), (0.0, 0.55, 2.0), (0.0, 0.4, 0.2)])
def test_the_interval_of_what_more_examples_bring_holds_the_truth_as_often_as_it_says(law) -> None:
    curve = errors(*law)
    held = held_rise = 0
    for seed in range(_TRIES):
        found = sampled(curve, seed)
        assert found.num_more == 400
        held += found.gain.low <= curve[2] - curve[3] <= found.gain.high
        held_rise += found.rise.low <= curve[1] - curve[2] <= found.rise.high
    least = binom.ppf(0.001, _TRIES, 0.95)
    assert held >= least
    assert held_rise >= least


def test_a_plateau_is_said_to_bring_nothing_or_not_to_be_told_and_hardly_ever_to_rise() -> None:
    said = [advice(sampled(errors(0.3, 0.0, 1.0), seed), "right fields") for seed in range(_TRIES)]
    assert sum("would bring about" in each for each in said) <= binom.ppf(0.999, _TRIES, 0.025)
    scores = np.tile(np.repeat([[1.0], [0.0]], [990, 10], axis=0), 3)
    flips = np.arange(0, 1000, 100)
    scores[flips, 1], scores[flips, 2] = 0.0, 1.0  # ten clusters differ, by half in each direction
    scores[flips[::2], 1], scores[flips[::2], 2] = 1.0, 0.0
    found = forecast(SIZES, [str(each) for each in range(1000)], scores, room=0.03)
    assert found.num_differing == 10
    assert "less than a point" in advice(found, "right fields")


def test_a_steep_curve_is_told_in_points_and_a_flat_one_by_what_it_could_be_at_most() -> None:
    def told(rise: Bounded, gain: Bounded, num_differing: int = 20) -> str:
        known = {"sizes": (100, 203, 405), "num_more": 400, "num_clusters": 30}
        return advice(Outlook(rise=rise, gain=gain, num_differing=num_differing, **known), "right fields")

    steep, gain = Bounded(value=0.061, low=0.02, high=0.1031), Bounded(value=0.02, low=0.004, high=0.039)
    assert told(steep, gain) == (
        "from 203 to 405 examples the right fields changed by +6.1 points [+2, +10.3]; about 400 more would bring "
        "about 2 points [0.4, 3.9]"
    )
    one = Outlook(sizes=(1, 2, 4), rise=steep, num_more=4, gain=gain, num_clusters=1, num_differing=1)
    assert "changed by +6.1 points [not measurable]; " in advice(one, "right fields")
    flat = Bounded(value=0.01, low=-0.01, high=0.03)
    assert "that interval holds 0: at most 3.9 points" in told(flat, gain)
    assert "look at what failed instead" in told(flat, Bounded(value=0.001, low=0.0, high=0.0099))
    assert "only 5 of 30 clusters" in told(steep, gain, LEAST_DIFFERING - 1)


def test_where_nothing_differs_the_bound_is_what_can_be_missing_and_not_zero() -> None:
    scores = np.ones((60, 3))
    found = forecast(SIZES, [str(each % 20) for each in range(60)], scores, room=0.168)
    assert (found.gain.low, found.gain.high) == (0.0, 0.168)
    assert "cannot be told" in advice(found, "right fields")


def test_examples_that_are_hard_at_every_size_add_no_uncertainty() -> None:
    clusters = [str(each // 4) for each in range(120)]
    gained = np.tile([[0.2, 0.4, 0.5]], (120, 1)) + np.random.default_rng(1).normal(0, 0.02, (120, 3))
    wide = gained + np.repeat(np.random.default_rng(2).uniform(-0.2, 0.5, 30), 4)[:, None]
    narrow, spread = (forecast(SIZES, clusters, each, room=1.0).rise for each in (gained, wide))
    assert spread.high - spread.low == pytest.approx(narrow.high - narrow.low)
    assert 0.08 < narrow.low < 0.1 < narrow.high < 0.12


@pytest.mark.parametrize("sizes", [(0, 1, 2), (10, 10, 20), (10, 30, 20)])
def test_sizes_that_do_not_rise_are_refused(sizes) -> None:
    with pytest.raises(ValueError, match="do not rise"):
        forecast(sizes, ["a", "b"], np.ones((2, 3)), room=1.0)
