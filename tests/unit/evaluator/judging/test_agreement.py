"""Raters with known habits: what is said of them, and what they say together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ropewalk.evaluator.domain.agreement.alt_test import alt_test, beaten
from ropewalk.evaluator.domain.agreement.bradley_terry import bradley_terry
from ropewalk.evaluator.domain.agreement.correlation import kendall, rank_interval
from ropewalk.evaluator.domain.agreement.dawid_skene import dawid_skene
from ropewalk.evaluator.domain.agreement.facets import many_facet
from ropewalk.evaluator.domain.agreement.kappas import cohen_kappa, fleiss_kappa, gwet_ac1
from ropewalk.evaluator.domain.agreement.prevalence import rogan_gladen
from ropewalk.evaluator.domain.agreement.raters import habits
from ropewalk.evaluator.domain.agreement.together import agreement
from ropewalk.statistics.alpha import krippendorff_alpha
from ropewalk.statistics.ratings import contingency, counted, numbers

ITEMS = 200


def quality(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=ITEMS)


def graded(items: NDArray[np.float64], severity: float, seed: int, noise: float = 0.5) -> NDArray[np.float64]:
    """Grades from 1 to 5."""
    said = 3 + 1.2 * items - severity + noise * np.random.default_rng(seed).normal(size=len(items))
    return np.clip(np.round(said), 1, 5)


def test_agreement_has_an_interval_over_clusters_and_is_nothing_where_all_say_the_same() -> None:
    items = quality()[:80]
    table = np.array([graded(items, 0, seed) for seed in (1, 2, 3)])
    table[2, :10] = np.nan
    alone = agreement(table, range(80), "ordinal", seed=1)
    together = agreement(table, [item // 10 for item in range(80)], "ordinal", seed=1).alpha
    assert alone.alpha.value == krippendorff_alpha(table, "ordinal")
    assert 0.7 < alone.alpha.lower < alone.alpha.value < alone.alpha.upper < 0.95
    assert together.upper - together.lower > alone.alpha.upper - alone.alpha.lower
    assert alone.fleiss.lower < alone.fleiss.value < alone.ac1.value < alone.ac1.upper
    weighted = cohen_kappa(contingency(table[0], table[2]), "quadratic")  # type: ignore[arg-type]
    assert alone.cohen[0, 2].value == pytest.approx(weighted)
    assert np.isnan(krippendorff_alpha([[1, 1, None], [1, 1, 1]]))
    assert agreement([["a", "a"], ["a", "a"]], range(2), "nominal", seed=1).alpha.lower == -np.inf


def test_the_interval_of_a_rank_correlation_holds_the_truth_as_often_as_it_says() -> None:
    held, truth = 0, 6 / np.pi * np.arcsin(0.6 / 2)  # of normal pairs with a correlation of .6
    for seed in range(12):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=30)
        second = 0.6 * first + 0.8 * rng.normal(size=30)
        interval = rank_interval(first, second, range(30), seed=1)
        held += interval.lower <= truth <= interval.upper
    assert held >= 9  # of 12 at 95 %: fewer happen once in four hundred
    assert rank_interval(first, second, range(30), seed=1, statistic=kendall).upper < interval.upper


def test_a_strict_rater_and_one_who_becomes_lenient_are_named_and_the_others_are_not() -> None:
    items, hours = quality(), np.linspace(0, 1, ITEMS)
    table = [graded(items, 0, 1), graded(items, 0.8, 2), graded(items, 0.0 - 1.5 * hours, 3), graded(items, 0, 4)]
    usual, strict, drifting, _ = habits(table, range(ITEMS), seed=1)
    assert strict.severity.lower > 0.5
    assert drifting.drift.upper < -0.8
    assert strict.drift.lower < 0.6
    assert usual.severity.upper < strict.severity.lower
    nobody = habits([[None, None], [1, 2]], range(2), seed=1)[0]
    assert nobody.num_items == 0
    assert nobody.severity.lower == -np.inf


def test_dawid_and_skene_beat_the_majority_where_raters_err_in_their_own_ways() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(3, size=400)
    table = []
    for shift in (0.05, 0.6, 0.6, 0.6):  # three of four mostly call the middle class high, in their own moods
        up = (rng.random(400) < shift) & (truth == 1)
        table.append(np.where(up, 2, truth))
    said = dawid_skene(table, pseudocount=0.5)
    majority = counted(table)[0].argmax(axis=1)
    ours = said.posterior.argmax(axis=1)
    assert (ours == truth).mean() > 0.95 > 0.9 > (majority == truth).mean(), (ours == truth).mean()
    assert abs(said.confusion[1, 1, 2] - 0.6) < 0.1
    assert ((said.posterior.max(axis=1) < 0.99).sum()) > 0  # who is unsure stays visible


def test_the_ordinal_consensus_undoes_severity_where_raters_saw_different_items() -> None:
    items = np.sort(quality())
    table = np.array([graded(items, shift, seed) for seed, shift in enumerate((-0.8, 0.8, 0.0))])
    table[0, ::2], table[1, 1::2] = np.nan, np.nan  # the lenient and the strict one never rate the same item
    found = many_facet(table)
    plain = np.nanmean(table, axis=0)
    wanted = 3 + 1.2 * items
    gap = (found.grades - wanted)[::2].mean() - (found.grades - wanted)[1::2].mean()
    assert abs(gap) < 0.15 < 0.5 < abs((plain - wanted)[::2].mean() - (plain - wanted)[1::2].mean())
    assert found.severities[1] > 0.3 > -0.3 > found.severities[0]
    assert np.corrcoef(found.quality, items)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("judge", "verdict"), [("precise", "replace"), ("coarse", "assist"), ("blind", "reject"), ("inverted", "reject")]
)
def test_a_judge_may_replace_assist_or_neither(judge: str, verdict: str) -> None:
    items = quality()
    table = [graded(items, 0, seed, noise=0.7) for seed in (1, 2, 3)]
    scores = {
        "precise": graded(items, 0, 9, noise=0.3),
        "coarse": graded(items, 1.5, 9, noise=1.2),
        "blind": graded(quality(7), 0, 9),
        "inverted": graded(-items, 0, 9),
    }[judge]
    found = alt_test(scores, table, graded=True)
    assert found.verdict == verdict
    assert (found.winning_rate >= 0.5) == (verdict == "replace")
    classes = alt_test(scores > 3, [row > 3 for row in table], graded=False)  # type: ignore[arg-type]
    assert (classes.verdict == "reject") == (verdict == "reject")


def test_a_judge_is_not_tested_on_fewer_items_than_thirty() -> None:
    items = quality()[:29]
    with pytest.raises(ValueError, match="no rater shares 30 items"):
        alt_test(items, [items, items, items], graded=True)


def test_false_discoveries_are_counted_over_all_raters() -> None:
    assert beaten([0.03, 0.03, 0.03]).tolist() == [False, False, False]
    assert beaten([0.02, 0.001, 0.9]).tolist() == [False, True, False]


def test_strengths_need_a_chain_of_defeats_or_a_ridge() -> None:
    with pytest.raises(ValueError, match="give a ridge"):
        bradley_terry([[0, 3], [0, 0]])
    assert np.diff(bradley_terry([[0, 3], [0, 0]], ridge=0.1).logits)[0] < -0.5
    strong = bradley_terry([[0, 3], [1, 0]], ties=[[0, 4], [4, 0]])
    won, tied = strong.beats(0, 1)
    assert (won, tied) == pytest.approx((3 / 8, 4 / 8))


def test_input_that_is_no_table_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="numbers or None"):
        numbers([["good", "bad"]])
    with pytest.raises(ValueError, match="one entry per item"):
        krippendorff_alpha([[1, 2], [1]])
    with pytest.raises(ValueError, match="nobody rated"):
        gwet_ac1([[None], [None]])
    with pytest.raises(ValueError, match="square"):
        cohen_kappa([[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match="items x categories"):
        fleiss_kappa([1, 2])
    with pytest.raises(ValueError, match="nobody rated item 1"):
        dawid_skene([[1, None], [2, None]])
    with pytest.raises(ValueError, match="no better than chance"):
        rogan_gladen(0.5, 0.5, 0.5)
