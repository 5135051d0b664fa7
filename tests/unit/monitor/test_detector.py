import numpy as np
import pytest

from ropewalk.monitor.domain.detector import NUM_BETS, Detector, bet_factors, bin_edges, bins_of

_HALF = 60


def many_detectors(streams, threshold, rng):
    """Detectors for all rows of `streams` (baseline first) at once. Returns when each raised its alarm, 0 = never."""
    num_streams, length = streams.shape[0], streams.shape[1] - 2 * _HALF
    binned = np.empty((num_streams, length), dtype=np.int64)
    num_bins = 2 * 40 + 1
    counts = np.zeros((num_streams, num_bins))
    for number, row in enumerate(streams):
        edges = bin_edges(row[:_HALF])
        counts[number] = np.bincount(bins_of(edges, row[_HALF : 2 * _HALF]), minlength=num_bins)
        binned[number] = bins_of(edges, row[2 * _HALF :])
    sums, alarmed_at, every = (
        np.zeros((num_streams, NUM_BETS)),
        np.zeros(num_streams, dtype=int),
        np.arange(num_streams),
    )
    for step in range(length):
        place = binned[:, step]
        counts[every, place] += 1
        upto = np.cumsum(counts, axis=1)[every, place]
        ranks = (upto - (1 - rng.random(num_streams)) * counts[every, place]) / counts.sum(axis=1)
        sums = (sums + 1) * bet_factors(ranks)
        alarmed_at = np.where((alarmed_at == 0) & (sums.mean(axis=1) >= threshold), step + 1, alarmed_at)
    return alarmed_at


@pytest.mark.parametrize("law", ["normal", "heavy tails", "ties", "constant"])
def test_false_alarms_stay_within_the_promise(law):
    rng = np.random.default_rng(5)
    num_streams, length, threshold = 500, 400, 2000.0
    shape = (num_streams, 2 * _HALF + length)
    values = {
        "normal": lambda: rng.normal(size=shape),
        "heavy tails": lambda: rng.standard_cauchy(size=shape),
        "ties": lambda: rng.integers(0, 4, size=shape).astype(float),
        "constant": lambda: np.zeros(shape),
    }[law]()
    alarms = np.count_nonzero(many_detectors(values, threshold, rng))
    promise = length / threshold  # the chance of an alarm within `length` values, by the maximal inequality
    assert alarms <= num_streams * promise + 3 * np.sqrt(num_streams * promise * (1 - promise))
    assert alarms > 0, "a detector that never alarms proves nothing"


@pytest.mark.parametrize(("shift", "scale"), [(0.7, 1.0), (-0.7, 1.0), (0.0, 3.0)])
def test_a_shift_of_0_7_sigma_or_a_new_spread_is_found_within_200_values(shift, scale):
    rng = np.random.default_rng(11)
    before, after = 400, 200
    values = rng.normal(size=(200, 2 * _HALF + before + after))
    values[:, -after:] = values[:, -after:] * scale + shift
    alarmed_at = many_detectors(values, threshold=6e5, rng=rng)
    found = (alarmed_at > before) & (alarmed_at <= before + after)
    assert found.mean() >= 0.9
    assert np.count_nonzero((alarmed_at > 0) & (alarmed_at <= before)) == 0


def observe(detector, value, time, uniform):
    """Give it one value. Whether that raised the alarm."""
    return bool(detector.observe_all(np.array([value]), [time], np.array([uniform]))) and detector.alarmed


def test_bets_pay_one_on_average_and_never_go_broke():
    middle = (np.arange(100_000) + 0.5) / 100_000
    factors = bet_factors(middle)
    assert factors.shape == (100_000, NUM_BETS)
    assert np.allclose(factors.mean(axis=0), 1.0, atol=1e-6)
    assert bet_factors(np.array([0.0, 0.5, 1.0])).min() > 0.1


def test_one_detector_does_what_the_formula_says():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=_HALF), rng.normal(size=_HALF)
    stream, uniforms = rng.normal(0.3, 1.0, size=150), rng.random(150)
    detector = Detector.from_baseline(first.tolist(), second.tolist(), threshold=1e9)
    for value, uniform in zip(stream, uniforms, strict=True):
        observe(detector, value, "", uniform)

    edges = bin_edges(first)
    seen = bins_of(edges, second).tolist()
    ranks = []
    for value, uniform in zip(stream, uniforms, strict=True):
        mine = int(bins_of(edges, value))
        seen.append(mine)
        ranks.append((sum(b < mine for b in seen) + uniform * seen.count(mine)) / len(seen))
    products = np.cumprod(bet_factors(np.array(ranks)), axis=0)
    before = np.concatenate([np.ones((1, NUM_BETS)), products[:-1]])
    batch = products[-1] * (1 / before).sum(axis=0)  # R_n = P_n * sum over starts of 1 / P_{start - 1}
    assert np.allclose(detector.sums, batch)
    best = products[-1] / before
    assert detector.products == pytest.approx(np.maximum(best.max(axis=0), 0), rel=1e-9)


def test_a_change_is_dated_near_where_it_was():
    rng = np.random.default_rng(8)
    errors = []
    for _ in range(30):
        detector = Detector.from_baseline(rng.normal(size=_HALF).tolist(), rng.normal(size=_HALF).tolist(), 6e5)
        values = np.concatenate([rng.normal(size=300), rng.normal(2.0, 1.0, size=200)])
        for number, value in enumerate(values):
            if observe(detector, value, str(number), rng.random()):
                break
        change = detector.change()
        assert change.time == str(change.number - 1)
        assert change.mean == pytest.approx(2.0, abs=0.8)
        errors.append(abs(change.number - 301))
    assert np.median(errors) <= 3
    assert max(errors) <= 15


def test_after_its_alarm_a_detector_stands_still():
    detector = Detector.from_baseline([0.0] * 30, [0.0] * 30, threshold=100.0)
    raised = [observe(detector, 1.0, str(number), 0.5) for number in range(200)]
    assert raised.count(True) == 1
    assert detector.num_observed == raised.index(True) + 1
    assert np.isfinite(detector.statistic)


def test_a_constant_signal_keeps_its_own_bin():
    edges = bin_edges(np.zeros(10))
    assert bins_of(edges, np.array([-1.0, 0.0, 1.0])).tolist() == [0, 1, 2]
