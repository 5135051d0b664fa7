"""The smaller runs of a learning curve are asked for once the gate has decided about the whole one."""

from pathlib import Path

from parts.submissions import Past, the_violations

from ropewalk.delivery.outcome import Done
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import RunAccepted, SubmitRun
from ropewalk.ingest.handlers import submit_run, submit_smaller
from ropewalk.ingest.settings import Settings
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe


def a_recipe(**evaluation: object) -> Recipe:
    source = {"path": "/examples.jsonl", "licence": "MIT", "format": "examples"}
    fields = {"name": "t", "mode": "finetune", "base_model": "/base", "sources": [source], "evaluation": evaluation}
    return resolve_recipe(fields | {"task": {"instruction": "Sort."}, "training": {"total_steps": 100}})


def accepted(recipe: Recipe) -> RunAccepted:
    sha256 = recipe.sha256()
    return RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=sha256, owner="ada", priority=3)


def decided(decision: str = "reject") -> GateDecided:
    gain = Estimate(metric="g", value=0.0, lower=0.0, upper=0.0, level=0.95, num_items=1, method="m")
    names = {"run_id": "r", "checkpoint_id": "c", "export_uri": "e", "evaluation_uri": "v", "baseline": "b"}
    return GateDecided(**names, decision=decision, reasons=(), comparison=gain)


async def test_whatever_the_gate_said_two_smaller_runs_follow_and_a_repetition_says_the_same() -> None:
    past = Past(accepted(a_recipe(curve=True)))
    outcome = await submit_smaller(decided("promote"), past)
    assert isinstance(outcome, Done)
    assert outcome == await submit_smaller(decided(), past)
    quarter, half = outcome.messages
    assert isinstance(quarter, SubmitRun)
    assert (quarter.run_id, half.run_id, quarter.owner, quarter.priority) == ("r-25", "r-50", "ada", 3)
    recipe = resolve_recipe(quarter.recipe)
    assert (recipe.evaluation.learnt_fraction, recipe.promotion.promote) == (0.25, False)
    assert recipe.derived.total_steps == 25
    smaller = accepted(recipe).model_copy(update={"run_id": "r-25"})
    gate = decided().model_copy(update={"run_id": "r-25"})
    assert await submit_smaller(gate, Past(smaller)) == Done()  # it has no smaller ones itself


async def test_a_later_look_at_the_same_checkpoint_asks_for_no_run_again() -> None:
    later = decided().model_copy(update={"look": 2})
    assert await submit_smaller(later, Past(accepted(a_recipe(curve=True)))) == Done()


async def test_without_a_curve_nothing_follows() -> None:
    assert await submit_smaller(decided(), Past(accepted(a_recipe()))) == Done()
    assert await submit_smaller(decided(), Past()) == Done()


async def test_an_id_that_leaves_no_room_for_those_of_the_smaller_runs_is_refused(tmp_path: Path) -> None:
    recipe = a_recipe(curve=True).as_json() | {"base_model": str(tmp_path)}
    violations = the_violations(await submit_run(SubmitRun(run_id="r" * 61, recipe=recipe), Past(), Settings()))
    assert any("the run's id has 61 letters: at most 60 fit" in each for each in violations)
    fits = the_violations(await submit_run(SubmitRun(run_id="r" * 60, recipe=recipe), Past(), Settings()))
    assert not any("letters" in each for each in fits)
