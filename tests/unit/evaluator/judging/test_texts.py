"""Text metrics are worth what they were measured to be worth."""

import numpy as np

from ropewalk.evaluator.domain.texts.rouge import rouge_l, rouge_n
from ropewalk.evaluator.domain.texts.sacre import sentence_bleu
from ropewalk.evaluator.domain.texts.validity import validity


def test_a_metric_without_labels_is_not_measured_and_never_in_a_gate() -> None:
    found = validity([0.1] * 30, [np.nan] * 11 + [1.0] * 19, range(30), seed=1)
    assert found.sentence == "not measured: 19 labels on this task set, 20 are needed"
    assert not found.may_gate


def test_a_metric_may_gate_only_where_its_correlation_with_labels_is_surely_high() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=80)
    good = validity(labels + 0.5 * rng.normal(size=80), labels, range(80), seed=1)
    poor = validity(labels + 4 * rng.normal(size=80), labels, range(80), seed=1)
    assert good.may_gate
    assert good.sentence.startswith("rank correlation with 80 human labels on this task set: 0.90 [0.8")
    assert not poor.may_gate


def test_overlap_of_nothing_is_nothing() -> None:
    assert rouge_n("", "some words", 1).f == rouge_n("one", "one", 2).f == rouge_l("", "").f == 0.0
    assert sentence_bleu("the same text as before", ["the same text as before"]) > 99.9
