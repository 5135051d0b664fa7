"""A judge with known faults and few labels: what is said of the truth, and what is not."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ropewalk.evaluator.domain.calibration.isotonic import cross_fitted
from ropewalk.evaluator.domain.calibration.judged import (
    Calibrated,
    JudgedItems,
    NotMeasurable,
    calibrated_gain,
    calibrated_mean,
)
from ropewalk.evaluator.domain.calibration.labels import doubt, draw, horvitz_thompson, in_either, inclusion

ITEMS = 400
Floats = NDArray[np.float64]


def judged(seed: int, num_labels: int, *, gain: float = 0.0, slope: float = 1.0) -> tuple[JudgedItems, Floats]:
    """Items with labels from 0 to 1 and three judges who are lenient and saturate; and the truth of every item."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=ITEMS) + gain
    truth = np.clip(np.round(2 + quality + 0.3 * rng.normal(size=ITEMS)), 0, 4) / 4
    noise = rng.normal(size=(ITEMS, 3))
    scores = 0.3 + np.tanh(slope * (quality[:, None] + 0.8 * noise) / 1.5)
    chosen = np.random.default_rng([seed, 1]).permutation(ITEMS)[:num_labels]
    labels = np.full(ITEMS, np.nan)
    labels[chosen] = truth[chosen]
    chances = np.full(ITEMS, num_labels / ITEMS)
    return JudgedItems(scores=scores, labels=labels, chances=chances, clusters=range(ITEMS)), truth


def measured(found: Calibrated | NotMeasurable) -> Calibrated:
    assert isinstance(found, Calibrated)
    return found


def test_a_lenient_judge_is_corrected_and_saves_labels() -> None:
    sample, truth = judged(1, 60)
    found = measured(calibrated_mean(sample, seed=1))
    assert abs(sample.scores.mean() - truth.mean()) > 0.2
    assert found.interval.lower < truth.mean() < found.interval.upper
    assert found.factor > 1.5
    assert "one label worth" in found.sentence
    assert "2410.13341" in found.sentence


def test_several_judges_are_worth_more_than_one() -> None:
    worth = []
    for seed in range(6):
        sample, _ = judged(seed, 100)
        alone = replace(sample, scores=sample.scores[:, :1])
        worth.append([measured(calibrated_mean(each, seed=1)).factor for each in (sample, alone)])
    together, one = np.mean(worth, axis=0)
    assert together > 1.2 * one


def test_intervals_hold_the_truth_at_twenty_labels() -> None:
    held = 0
    truth = np.mean([judged(1000 + seed, 20)[1].mean() for seed in range(100)])
    for seed in range(30):
        interval = measured(calibrated_mean(judged(seed, 20)[0], seed=1)).interval
        held += interval.lower <= truth <= interval.upper
    assert held >= 25  # of 30 at 95 %: fewer happen three times in a thousand


def test_a_judge_who_says_the_opposite_costs_nothing() -> None:
    sample, _ = judged(1, 60, slope=-1.0)
    found = measured(calibrated_mean(replace(sample, scores=sample.scores[:, :1]), seed=1))
    width, alone = (each.upper - each.lower for each in (found.interval, found.labels_only))
    assert width < 1.02 * alone


def test_labels_alone_have_the_interval_of_their_mean_also_where_most_are_the_best_there_is() -> None:
    sample, _ = judged(1, 100, gain=1.5)
    far = replace(sample, labels=4 + sample.labels, span=(4.0, 5.0))
    found = measured(calibrated_mean(far, seed=1)).labels_only
    drawn = far.labels[~np.isnan(far.labels)]
    assert found.value == pytest.approx(drawn.mean())
    assert found.upper - found.lower == pytest.approx(4 * drawn.std() / 10, rel=0.25)


def test_labels_that_all_agree_are_no_proof_that_all_others_do() -> None:
    sample, _ = judged(1, 40)
    found = measured(calibrated_mean(replace(sample, labels=np.where(np.isnan(sample.labels), np.nan, 1.0)), seed=1))
    assert found.interval.value == pytest.approx(1.0)
    assert 0.8 < found.interval.lower < 0.95


def test_below_twenty_labels_nothing_is_measurable() -> None:
    found = calibrated_mean(judged(1, 19)[0], seed=1)
    assert isinstance(found, NotMeasurable)
    assert found.sentence == "not measurable: 19 labels are below 20, draw at least 1 more"


def test_labels_that_were_picked_by_hand_or_are_off_the_scale_are_refused() -> None:
    sample, _ = judged(1, 60)
    with pytest.raises(ValueError, match="picked by hand"):
        calibrated_mean(replace(sample, chances=np.where(sample.scores[:, 0] > 1, np.nan, 0.2)), seed=1)
    with pytest.raises(ValueError, match="outside of 1 to 5"):
        calibrated_mean(replace(sample, span=(1.0, 5.0)), seed=1)
    with pytest.raises(ValueError, match="has no score"):
        calibrated_mean(replace(sample, scores=np.where(sample.scores > 1, np.nan, 0.2)), seed=1)


def test_the_gain_between_two_models_is_measured_on_the_same_items() -> None:
    ours, better = judged(3, 80, gain=0.4)
    theirs, worse = judged(3, 80)
    found = measured(calibrated_gain(ours, theirs, seed=1))
    assert found.interval.lower < (better - worse).mean() < found.interval.upper
    assert found.interval.lower > 0
    assert found.labels_wanted(1.0) == 0
    wanted = found.labels_wanted((found.interval.upper - found.interval.lower) / 4)
    assert 235 <= wanted <= 240  # half as wide takes four times as many


def test_predictions_of_labelled_items_know_nothing_of_their_own_cluster() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(20), 5)
    labels = np.repeat(rng.normal(size=20), 5)  # the same within a cluster, and nothing that the score could know
    predictions = cross_fitted(np.arange(100.0)[:, None], labels, clusters, seed=1)
    # The mean of all others is lower where one is high; with its own cluster the curve would follow the labels.
    assert np.corrcoef(predictions, labels)[0, 1] < 0


def test_drawn_labels_undo_that_unsure_items_are_asked_more_often() -> None:
    rng = np.random.default_rng(2)
    values = rng.gamma(2.0, size=300)
    chances = inclusion(values, 60)
    assert chances.sum() == pytest.approx(60)
    assert chances.min() >= 0.5 * 60 / 300
    totals, plain = [], []
    for seed in range(300):
        drawn = draw(chances, rng.normal(size=300), seed)
        assert len(drawn) == len(set(drawn)) == 60
        totals.append(horvitz_thompson(values[drawn], chances[drawn]) / 300)
        plain.append(values[drawn].mean())
    assert np.mean(totals) == pytest.approx(values.mean(), abs=0.03)
    assert np.mean(plain) > values.mean() + 0.2
    assert doubt([1, 3, 5], (1, 5)).tolist() == [0, 2, 0]
    assert in_either([0.5, 0.0], [0.5, 0.2]) == pytest.approx([0.75, 0.2])
    with pytest.raises(ValueError, match="cannot be drawn"):
        inclusion(values, 301)
