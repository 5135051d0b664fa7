"""What people and judges say of two models' answers decides in a simulated world, and is the same when replayed."""

from dataclasses import replace

import numpy as np
import pytest
from parts.judged_answers import a_case, a_world, labelled_by_people

from ropewalk.evaluator.domain.labelling.case import Case
from ropewalk.evaluator.domain.labelling.sheets import dumped, loaded


def gain_of(case: Case):
    (measured,) = case.measured()
    return measured.gain_over("production", case.seed, case.level)


def test_the_first_round_is_drawn_evenly_and_by_the_seed_alone() -> None:
    world = a_world(128, seed=1)
    case = a_case(world).with_next_rounds()
    (first,) = case.rounds
    assert len(first.drawn) == 40
    assert set(first.chances) == {40 / 128}
    again = a_case(world, judge="biased").with_next_rounds()
    assert again.rounds == case.rounds, "scores of judges do not choose whom people see first"
    assert a_case(world, seed=8).with_next_rounds().rounds != case.rounds
    assert case.num_missing() == len(case.sheets()) >= 40
    assert loaded(dumped(case.sheets())) == case.sheets()


@pytest.mark.parametrize("kind", ["judge", "pairwise"])
def test_labels_by_one_rubric_are_none_by_another(kind: str) -> None:
    world = a_world(128, seed=1)
    case = labelled_by_people(a_case(world, kind=kind).with_next_rounds(), world)
    other = replace(case, asked=a_case(world, kind=kind, rubric="two").asked)
    assert (case.num_missing(), len(case.drawn)) == (0, 40)
    assert (other.num_missing(), len(other.drawn)) == (len(other.sheets()), 0)


def test_half_a_round_measures_nothing_and_a_whole_one_does() -> None:
    world = a_world(128, seed=1)
    case = a_case(world).with_next_rounds()
    half = labelled_by_people(case, world, only=case.sheets()[:30])
    assert half.labelled == ()
    assert gain_of(half).interval.lower == float("-inf")
    assert half.with_next_rounds().rounds == case.rounds, "nothing more is drawn before that"
    whole = labelled_by_people(case, world)
    assert len(whole.drawn) == 40
    assert np.isfinite(gain_of(whole).interval.lower)
    assert gain_of(whole).num_items == 40


def test_a_biased_judge_makes_the_interval_narrower_and_does_not_move_it() -> None:
    held, narrower = 0, 0
    for seed in range(20):
        world = a_world(128, seed=seed, gain=0.1)
        cases = [labelled_by_people(a_case(world, judge=judge).with_next_rounds(), world) for judge in ("", "biased")]
        alone, judged = (gain_of(case).interval for case in cases)
        held += judged.lower <= world.gain <= judged.upper
        narrower += judged.upper - judged.lower < alone.upper - alone.lower
    assert held >= 17
    assert narrower >= 17


def test_the_method_names_the_judges_and_what_they_are_worth() -> None:
    world = a_world(128, seed=3)
    with_judge = labelled_by_people(a_case(world, judge="biased").with_next_rounds(), world)
    assert "judged by biased, which makes a label worth " in gain_of(with_judge).method
    alone = labelled_by_people(a_case(world).with_next_rounds(), world)
    assert gain_of(alone).method.startswith("mean of drawn labels")


def test_rounds_go_on_until_it_is_decided_or_everything_is_labelled() -> None:
    world = a_world(128, seed=5, gain=0.0)
    case = a_case(world, judge="biased")
    for _ in range(8):
        case = labelled_by_people(case.with_next_rounds(), world)
    assert 2 <= len(case.rounds) <= 6
    assert all(later >= earlier for one, other in zip(case.rounds, case.rounds[1:], strict=False)
               for earlier, later in zip(one.chances, other.chances, strict=True))  # fmt: skip
    (measured,) = case.measured()
    assert case.num_left(measured) == (128 - len(case.drawn) if case.is_open(measured) else 0)
    better = a_world(128, seed=5, gain=0.5)
    decided = labelled_by_people(a_case(better).with_next_rounds(), better)
    assert not decided.is_open(decided.measured()[0])
    assert decided.with_next_rounds().rounds == decided.rounds
    assert (decided.num_left(decided.measured()[0]), decided.num_missing()) == (0, 0)


def test_several_raters_are_averaged_and_one_who_cannot_judge_is_left_out() -> None:
    world = a_world(60, seed=2)
    case = a_case(world, raters_each=2).with_next_rounds()
    sheet = next(each for each in case.sheets() if len(each.answers) == 1)
    item = next(each for each in case.items if each.item_id == sheet.item_id)
    given = replace(case, grades={sheet.sheet_id: {"anna": 3, "bert": 2}, "other": {"anna": 0}})
    ours, theirs = given.asked.labels(item, "correctness", given.grades)
    assert [ours, theirs][sheet.answers[0] != item.ours] == pytest.approx(2.5 / 3)
    out = replace(given, grades={sheet.sheet_id: {"anna": 9}})
    assert np.isnan(out.asked.labels(item, "correctness", out.grades)).any(), "a grade that nobody may give"


def test_the_same_labels_give_the_same_bits() -> None:
    world = a_world(100, seed=4)
    case = labelled_by_people(a_case(world, judge="biased").with_next_rounds(), world)
    first, second = gain_of(case), gain_of(replace(case, grades=dict(reversed(list(case.grades.items())))))
    assert first == second


def test_comparisons_measure_how_often_ours_is_preferred() -> None:
    world = a_world(128, seed=6, gain=0.3)
    case = labelled_by_people(a_case(world, kind="pairwise", judge="biased").with_next_rounds(), world)
    (measured,) = case.measured()
    ours = measured.level_of("candidate", 0, 0.95).interval.value
    theirs = measured.level_of("production", 0, 0.95).interval.value
    assert ours > 0.5 > theirs
    assert gain_of(case).interval.lower > 0
    same = replace(case.items[0], theirs=case.items[0].ours)
    assert case.asked.sheets(same, "preferred") == ()
    assert case.asked.labels(same, "preferred", {}) == (0.5, 0.5)
