"""Hand-computed values of interpolated Witten-Bell smoothing, and normalisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.evaluator.domain.ngram import collapse_padding, fit

V = 4
TEXT = np.array([0, 1, 2, 1, 2, 1, 3], dtype=np.int64)


def probability(history: tuple[int, int], word: int, order: int) -> float:
    return float(fit(TEXT, V).probabilities(np.array([*history, word]), order)[0])


def test_a_unigram_is_a_count_plus_one_half() -> None:
    # 3 of 7 words are a 1: (3 + .5) / (7 + 4 * .5)
    assert probability((0, 0), 1, order=1) == pytest.approx(3.5 / 9)


def test_a_bigram_is_mixed_with_the_unigram_by_witten_and_bell() -> None:
    # after 1 come 2, 2, 3: c = 3, T = 2; p(2) = 2.5 / 9
    assert probability((0, 1), 2, order=2) == pytest.approx((2 + 2 * (2.5 / 9)) / 5)


def test_an_unseen_word_gets_the_share_of_the_new_ones() -> None:
    # p(0) = 1.5 / 9 and 0 never follows 1
    assert probability((0, 1), 0, order=2) == pytest.approx(2 * (1.5 / 9) / 5)


def test_a_trigram_is_mixed_with_the_bigram() -> None:
    # after (2, 1) come 2 and 3: c = 2, T = 2
    bigram = (2 + 2 * (2.5 / 9)) / 5
    assert probability((2, 1), 2, order=3) == pytest.approx((1 + 2 * bigram) / 4)


def test_an_unseen_history_falls_back_to_the_shorter_one() -> None:
    assert probability((3, 1), 2, order=3) == probability((3, 1), 2, order=2)
    assert probability((1, 3), 2, order=2) == probability((1, 3), 2, order=1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=3, max_size=60),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    st.integers(1, 3),
)
def test_probabilities_of_all_words_sum_to_one(text: list[int], history: tuple[int, int], order: int) -> None:
    model = fit(np.array(text, dtype=np.int64), 5)
    total = sum(float(model.probabilities(np.array([*history, word]), order)[0]) for word in range(5))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_every_word_after_the_two_first_is_scored_as_if_alone() -> None:
    model = fit(TEXT, V)
    together = model.probabilities(TEXT, 3)
    alone = [float(model.probabilities(TEXT[i : i + 3], 3)[0]) for i in range(len(TEXT) - 2)]
    assert together.tolist() == pytest.approx(alone)


def test_longer_histories_predict_a_regular_text_better() -> None:
    text = np.tile(np.array([0, 1, 2, 1, 3]), 50)
    model = fit(text, V)
    costs = [-float(np.log2(model.probabilities(text, order)).mean()) for order in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


def test_a_large_vocabulary_does_not_overflow_its_keys() -> None:
    model = fit(np.array([65_535, 65_534, 65_535, 65_534, 65_533], dtype=np.int64), 65_536)
    seen, unseen = (float(model.probabilities(np.array([65_535, 65_534, word]), 3)[0]) for word in (65_533, 65_532))
    assert seen > 100 * unseen


def test_padding_counts_once() -> None:
    assert collapse_padding(np.array([5, 0, 0, 0, 7, 0, 0]), 0).tolist() == [5, 0, 7, 0]
