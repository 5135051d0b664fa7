"""What a card says of judges that are known to be good, blind, lifted by a line, or too little labelled."""

import numpy as np
import pytest

from ropewalk.evaluator.domain.judging import controls
from ropewalk.evaluator.domain.judging.assessment import PEOPLE, RANK, Graded, assessed
from ropewalk.events.judge import CriterionCard, JudgeFigure

TRUTH = np.array([number % 4 for number in range(60)], dtype=np.float64)


def a_card(expected: np.ndarray, num_labels: int = 60, raters: int = 3, **tried: JudgeFigure) -> CriterionCard:
    rng = np.random.default_rng(3)
    ratings = np.stack([np.clip(TRUTH + (rng.random(60) < 0.2), 0, 3) for _ in range(raters)])
    ratings[:, num_labels:] = np.nan
    judged = Graded(
        criterion="correctness",
        top=3,
        expected=expected,
        ratings=ratings,
        chances=np.full(60, num_labels / 60),
        clusters=[f"c{number // 2}" for number in range(60)],
        lengths=np.arange(60) * 1.0,
        own=np.array([number % 2 for number in range(60)], dtype=np.float64),
    )
    return assessed(judged, tried, "experts")


def a_shift(name: str, lower: float, upper: float) -> JudgeFigure:
    return JudgeFigure(name=name, value=(lower + upper) / 2, lower=lower, upper=upper, num_items=24)


def test_a_judge_as_good_as_people_may_replace_them_and_saves_labels() -> None:
    card = a_card(TRUTH + 0.1, num_labels=40)
    shown = {each.name: each for each in card.figures}
    assert card.verdict == "replace"
    assert (card.num_items, card.num_labels, card.residuals.count) == (60, 40, 40)
    assert shown[RANK].lower > 0.8
    assert shown["AC1"].value > 0.7
    assert shown[PEOPLE].value > 0.8
    assert shown["distance when calibrated"].value < 0.3
    assert "worth" in card.economy


def test_a_judge_that_says_the_same_of_all_or_nothing_is_rejected() -> None:
    assert a_card(np.full(60, 2.0)).verdict == "reject"
    nothing = a_card(np.full(60, np.nan))
    assert (nothing.verdict, nothing.num_ungraded, nothing.num_labels) == ("reject", 60, 0)


def test_fewer_than_twenty_labels_measure_nothing() -> None:
    card = a_card(TRUTH, num_labels=19)
    assert card.verdict == "reject"
    assert card.figures == ()
    assert "not measurable: 19 labels are below 20" in card.reasons[0]
    assert "not measurable" in card.economy


def test_without_three_raters_a_judge_never_replaces() -> None:
    card = a_card(TRUTH, raters=2)
    assert card.verdict == "assist"
    assert "2 of 3 raters" in card.reasons[0]


def test_what_fools_a_judge_costs_it_its_place() -> None:
    lifted = a_card(TRUTH, **{controls.INJECTED: a_shift(controls.INJECTED, 0.4, 0.9)})
    assert lifted.verdict == "assist"
    blank = a_card(TRUTH, **{controls.BLANK: a_shift(controls.BLANK, -0.5, 0.1)})
    assert blank.verdict == "reject"
    half = a_card(np.where(np.arange(60) < 20, np.nan, TRUTH))
    assert half.verdict == "assist"
    assert "33% of answers got no grade" in half.reasons


def test_a_control_compares_an_answer_with_itself() -> None:
    before, after = np.array([1.0, 2.0, np.nan, 3.0]), np.array([1.5, 2.5, 1.0, 3.5])
    found = controls.shift(controls.PADDED, before, after, ["a", "b", "c", "d"], 3)
    assert found is not None
    assert (found.value, found.num_items) == (pytest.approx(0.5), 3)
    assert controls.shift(controls.PADDED, before * np.nan, after, ["a", "b", "c", "d"], 3) is None
