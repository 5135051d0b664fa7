"""Published numbers where there are some, seeded Monte Carlo for coverage."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.metrics import parse_rate
from ropewalk.evaluator.domain.statistics import example_share, per_byte
from ropewalk.statistics.intervals import paired_trials, ratio, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(8, 10, 0.4902, 0.9433), (81, 263, 0.2553, 0.3662), (0, 40, 0.0, 0.0876), (40, 40, 0.9124, 1.0)],
)
def test_wilson_gives_the_published_bounds(successes: int, trials: int, lower: float, upper: float) -> None:
    interval = wilson(successes, trials)
    assert (round(interval.lower, 4), round(interval.upper, 4)) == (lower, upper)
    assert interval.value == successes / trials


def a_row(place: int, num_bytes: int, cluster: int) -> ItemScore:
    names = {"metric": "m", "tasks": "t", "item_id": str(place), "path": str(place), "cluster": str(cluster)}
    return ItemScore(**names, num_bytes=num_bytes, values={})


def test_wilson_without_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="0 successes in 0 trials"):
        wilson(0, 0)


def test_a_ratio_is_the_ratio_of_the_sums() -> None:
    interval = ratio([2.0, 6.0, 1.0], [1.0, 2.0, 1.0], seed=1)
    assert interval.value == pytest.approx(9 / 4)
    assert interval.lower < 9 / 4 < interval.upper


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    x, y = [float(index % 7) for index in range(1, 30)], [float(index % 5 + 1) for index in range(1, 30)]
    assert ratio(x, y, seed=1) == ratio(x, y, seed=1)
    assert ratio(x, y, seed=1) != ratio(x, y, seed=2)


def test_clusters_that_all_agree_leave_no_doubt() -> None:
    interval = ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], seed=1)
    assert (interval.lower, interval.value, interval.upper) == (2.0, 2.0, 2.0)


def test_two_equal_models_differ_by_exactly_nothing() -> None:
    interval = ratio([0.0] * 30, list(range(1, 31)), seed=1)
    assert (interval.lower, interval.upper) == (0.0, 0.0)


def test_one_cluster_is_not_measurable() -> None:
    interval = ratio([3.0], [2.0], seed=1)
    assert (interval.lower, interval.value, interval.upper) == (-math.inf, 1.5, math.inf)


def test_no_bound_is_nearer_than_that_of_the_jackknife() -> None:
    """Five clusters of equal size: the jackknife of a mean is Student's interval."""
    values = [1.0, 2.0, 4.0, 4.5, 9.0]
    low, high = student.interval(0.95, 4, loc=np.mean(values), scale=np.std(values, ddof=1) / 5**0.5)
    found = ratio(values, [1.0] * 5, seed=1)
    assert found.lower <= low + 1e-12
    assert found.upper >= high - 1e-12
    assert (found.lower, found.upper) != pytest.approx((low, high))  # the bootstrap sees the skew


def test_a_higher_level_is_a_wider_interval() -> None:
    x, y = [float(index % 7) for index in range(1, 60)], [float(index % 5 + 1) for index in range(1, 60)]
    bounds = [ratio(x, y, seed=1, level=level) for level in (0.9, 0.95, 0.99, 0.9999)]
    assert [one.lower for one in bounds] == sorted((one.lower for one in bounds), reverse=True)
    assert [one.upper for one in bounds] == sorted(one.upper for one in bounds)


def test_a_cluster_of_any_size_weighs_at_most_as_much_as_two_of_the_middle() -> None:
    sizes = [100.0] * 19
    assert ratio([*sizes, 4e9], [*sizes, 1e9], seed=1).value == pytest.approx((19 + 2 * 4) / 21)
    assert ratio([*sizes, 800.0], [*sizes, 200.0], seed=1).value == pytest.approx((19 + 8) / 21)


def test_clusters_of_five_that_are_alike_are_covered_as_often_as_it_says_and_files_alone_are_not() -> None:
    """Twenty packages of five files, half of the variance between packages (ICC .5), lognormal sizes."""
    rng = np.random.default_rng(3)
    draws, covered = 100, {"package": 0, "file": 0}
    for draw in range(draws):
        gains = np.repeat(rng.normal(size=20), 5) + rng.normal(size=100)
        sizes = rng.lognormal(7, 0.5, 100)
        for unit in covered:
            rows = [a_row(at, int(size), at // 5 if unit == "package" else at) for at, size in enumerate(sizes)]
            values = [gain * row.num_bytes for gain, row in zip(gains, rows, strict=True)]
            interval = per_byte(values, rows, draw).interval
            covered[unit] += interval.lower <= 0 <= interval.upper
    assert 0.925 - 3 * (0.95 * 0.05 / draws) ** 0.5 <= covered["package"] / draws
    assert covered["file"] / draws < 0.87


def test_completions_of_the_same_files_are_counted_by_file() -> None:
    """Sixty-four prompts from twenty files, of which whole files parse or not."""
    together = [a_row(at, 1, at % 20) for at in range(64)]
    values = [float(at % 20 < 10) for at in range(64)]
    found = example_share(values, together, 1)
    alone = example_share(values, [a_row(at, 1, at) for at in range(64)], 1)
    assert (found.num_items, found.num_clusters, found.interval.value) == (64, 20, pytest.approx(alone.interval.value))
    assert found.interval.upper - found.interval.lower > 1.5 * (alone.interval.upper - alone.interval.lower)
    assert parse_rate.METRIC.level is example_share


@pytest.mark.parametrize("num_files", [20, 60])
def test_the_ratio_interval_covers_the_truth_as_often_as_it_says(num_files: int) -> None:
    """Files as excerpts have them: skewed sizes with a ceiling, a skewed rate per file.

    Coverage must lie in [0.935, 0.965], with a binomial band of 3 standard errors around it. 1500 draws gave 0.939
    and 0.947; the plain percentile interval gave 0.909 with 20 files.
    """
    rng = np.random.default_rng(7)
    truth, covered, draws = 1.5, 0, 16_000 // num_files
    for draw in range(draws):
        sizes = np.minimum(rng.lognormal(mean=8.5, sigma=1.0, size=num_files), 7500.0)
        rates = truth * rng.gamma(shape=16.0, scale=1 / 16.0, size=num_files)
        interval = ratio(rates * sizes, sizes, seed=draw)
        covered += interval.lower <= truth <= interval.upper
    slack = 3 * (0.95 * 0.05 / draws) ** 0.5
    assert 0.935 - slack <= covered / draws <= 0.965 + slack


@pytest.mark.parametrize(("won", "lost", "trials"), [(4, 6, 64), (0, 9, 20), (7, 0, 7), (0, 0, 5), (300, 420, 2000)])
def test_a_paired_difference_is_clopper_and_pearson_among_the_trials_that_differ(won: int, lost: int, trials: int):
    found = paired_trials(won, lost, trials, 0.9)
    apart = won + lost
    if not apart:
        assert (found.lower, found.value, found.upper) == (0, 0, 0)
        return
    exact = binomtest(won, apart).proportion_ci(confidence_level=0.9, method="exact")
    bounds = [(2 * bound - 1) * apart / trials for bound in (exact.low, exact.high)]
    assert (found.lower, found.upper) == pytest.approx(bounds, abs=1e-9)
    assert found.value == pytest.approx((won - lost) / trials)


def test_one_file_that_differs_from_many_gives_an_interval_of_its_size():
    weights = [1, 2, 3, 8, 8, 2, 1, 5, 4, 3, 6, 8, 8, 2, 1, 1, 4, 3, 3, 2]
    values = [float(weight) for weight in weights]
    values[4] -= 0.15
    found = ratio(values, weights, seed=1)
    assert 0.99 < found.lower < found.value < found.upper < 1.01
