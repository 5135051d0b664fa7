"""Grades on scales: what may be averaged, how two become one, and whether what was learned here holds there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ropewalk.evaluator.domain.scales.grades import SCALES, ScaledGrade, mean_grade
from ropewalk.evaluator.domain.scales.link import Pair, Rated, link
from ropewalk.evaluator.domain.scales.transfer import UseCase, transfer

Floats = NDArray[np.float64]


def rated(scale_id: str, names: list[str], quality: Floats, seed: int) -> list[Rated]:
    """Grades of one grader per scale, evenly spread over it, with noise."""
    scale, rng = SCALES[scale_id], np.random.default_rng([seed, SCALES[scale_id].levels])
    share = 1 / (1 + np.exp(-1.5 * quality + 0.5 * rng.normal(size=len(quality))))
    places = np.minimum(scale.levels - 1, (share * scale.levels).astype(int))
    grades = [ScaledGrade(scale_id, scale.lowest + place * scale.step) for place in places.tolist()]
    return [Rated(name, scale_id, grade) for name, grade in zip(names, grades, strict=True)]


def named(count: int, prefix: str = "old") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_grades_of_two_scales_have_no_mean() -> None:
    assert mean_grade([ScaledGrade("1-5", 4), ScaledGrade("1-5", 5)]) == 4.5
    with pytest.raises(ValueError, match="scales 1-10 and 1-5 have no mean: link the scales first"):
        mean_grade([ScaledGrade("1-5", 4), ScaledGrade("1-10", 5)])
    with pytest.raises(ValueError, match="no grades"):
        mean_grade([])


def test_a_grade_that_its_scale_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="6 is no grade of the scale 1-5: 1 to 5 by 1"):
        ScaledGrade("1-5", 6)
    with pytest.raises(ValueError, match=r"2\.5 is no grade"):
        ScaledGrade("1-5", 2.5)
    with pytest.raises(ValueError, match="nan is no grade"):
        ScaledGrade("0-1", float("nan"))
    with pytest.raises(ValueError, match="there is no scale 'stars'"):
        ScaledGrade("stars", 1)
    assert ScaledGrade("0-1 by tenths", 0.3).place == 3


def test_linked_scales_say_the_same_of_new_items_that_are_better_than_those_that_made_the_link() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=200), 0.6 + rng.normal(size=1000)
    known = [each for scale in ("1-5", "1-10", "0-1") for each in rated(scale, named(200), old, 1)]
    games = [(int(a), int(b)) for a, b in rng.integers(200, size=(200, 2)) if a != b]
    pairs = [Pair(f"old{a}", f"old{b}", float(old[a] - old[b] + rng.normal() > 0)) for a, b in games]
    found = link(known, pairs)
    assert found.bridging == {"1-10": 200, "0-1": 200}
    direct = np.mean([(each.grade.value - 1) / 4 for each in rated("1-5", named(1000, "new"), new, 1)])
    for scale in ("1-5", "1-10", "0-1"):
        again = rated(scale, named(1000, "new"), new, 5)
        assert np.mean(list(found.expected(again).values())) == pytest.approx(direct, abs=0.03)
    better, worse = found.expected([], [Pair("a", "b", 1.0)]).values()
    assert better > worse


def test_scales_without_a_common_item_are_not_linked() -> None:
    quality = np.random.default_rng(0).normal(size=30)
    alone = rated("1-5", named(30), quality, 1) + rated("1-10", named(30, "other"), quality, 1)
    with pytest.raises(ValueError, match="no item was graded on 1-10 and another scale"):
        link(alone)
    with pytest.raises(ValueError, match="nothing was graded on 0-3"):
        link(alone, reference="0-3")
    found = link(rated("1-5", named(30), quality, 1))
    with pytest.raises(ValueError, match="knows no grader"):
        found.expected([Rated("a", "somebody", ScaledGrade("1-5", 3))])
    with pytest.raises(ValueError, match="on two scales"):
        link([Rated("a", "one", ScaledGrade("1-5", 3)), Rated("a", "one", ScaledGrade("0-1", 1))])


def test_what_was_learned_on_one_use_case_is_tested_on_another() -> None:
    rng = np.random.default_rng(0)

    def case(lenient: float) -> UseCase:
        labels = rng.random(120)
        return UseCase((labels + lenient + 0.1 * rng.normal(size=120))[:, None], labels, range(120))

    table = transfer({"code": case(0.0), "mail": case(0.0), "law": case(0.4)}, seed=1)
    assert table["code", "code"].holds
    assert table["code", "mail"].error < 0.12
    assert not table["code", "law"].holds
    assert table["code", "law"].bias.upper < -0.2
    with pytest.raises(ValueError, match="below 20 nothing is measurable"):
        transfer({"code": UseCase(np.zeros((3, 1)), np.zeros(3), range(3))}, seed=1)
