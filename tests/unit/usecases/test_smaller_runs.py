"""The smaller runs of a learning curve, and a run that is only judged, as recipes."""

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe, RecipeError
from ropewalk.usecases.smaller_runs import FRACTIONS, MOST_NAME, all_smaller, has_curve, smaller, smaller_id


def a_task(**more: object) -> Recipe:
    source = {"path": "/examples.jsonl", "licence": "MIT", "format": "examples"}
    fields = {"name": "t", "mode": "finetune", "base_model": "/base", "adapter": "lora", "sources": [source]}
    training = {"total_steps": 120, "batch_size": 8, "objective": "sft"}
    asked = {"task": {"instruction": "Sort."}, "training": training, "evaluation": {"curve": True}}
    return resolve_recipe(fields | asked | more)


@pytest.mark.parametrize(("fraction", "steps"), [(0.25, 30), (0.5, 60)])
def test_a_smaller_run_reads_its_examples_as_often_is_judged_alone_and_is_never_promoted(fraction, steps) -> None:
    whole = a_task()
    found = smaller(whole, fraction)
    assert (found.derived.total_steps, found.evaluation.learnt_fraction) == (steps, fraction)
    assert found.derived.decay_start == fraction * whole.derived.decay_start
    assert not found.promotion.promote
    assert not has_curve(found)  # or it would have smaller ones itself
    assert found.task.compare == ()
    same = ("seed", "sources", "base_model", "adapter", "model")
    assert all(getattr(found, name) == getattr(whole, name) for name in same)
    assert found.derived.batch_size == 8
    assert resolve_recipe(found.as_json()) == found  # what ingest makes of it


def test_a_recipe_that_asks_for_nothing_new_has_the_hash_that_it_had_before() -> None:
    plain, asked = a_task(evaluation={}).as_json(), a_task().as_json()
    assert not {"curve", "learnt_fraction", "promote"} & {*plain["evaluation"], *plain["promotion"]}
    assert asked["evaluation"]["curve"] is True


def test_a_curve_without_a_task_is_refused_and_what_goes_on_elsewhere_has_none() -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.curve is true but there is no task"):
        resolve_recipe({"base": "python-stdlib-tiny", "evaluation": {"curve": True}})
    assert not has_curve(a_task().model_copy(update={"extends": "r-7-40"}))


def test_the_ids_of_the_smaller_runs_are_ids() -> None:
    assert len(all_smaller(a_task())) == len(FRACTIONS)
    assert all_smaller(a_task(evaluation={})) == ()
    assert [smaller_id("r", fraction) for fraction in FRACTIONS] == ["r-25", "r-50"]
    assert len(smaller_id("r" * MOST_NAME, 0.25)) == 63
