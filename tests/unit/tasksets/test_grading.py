import math

import pytest

from ropewalk.tasksets.judges.grading import graded

GRADES = range(4)


def test_the_expected_grade_weighs_the_grades_by_what_the_judge_thinks_of_them() -> None:
    found = graded({"3": math.log(0.6), " 2": math.log(0.1), "2": math.log(0.1), "The": math.log(0.2)}, GRADES)
    assert found is not None
    assert found.expected == pytest.approx((3 * 0.6 + 2 * 0.2) / 0.8)
    assert found.probabilities == pytest.approx((0, 0, 0.25, 0.75))
    assert found.mass == pytest.approx(0.8)


@pytest.mark.parametrize("said", [{}, {"7": 0.0}, {"2": math.nan}, {"2": math.log(0.04)}, {"9" * 5000: 0.0}])
def test_a_judge_that_hardly_thinks_of_a_grade_has_not_graded(said: dict[str, float]) -> None:
    assert graded(said, GRADES) is None
