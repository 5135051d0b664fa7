"""The recipe of a run that goes on where another one stands, from what the log says of the other."""

import pytest

from ropewalk.client.errors import ClientError
from ropewalk.client.extending import extension
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointPruned, CheckpointSaved
from ropewalk.events.run import CancelRun, RunAccepted
from ropewalk.events.training import SearchCompleted, TrainingCompleted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import RecipeError

RECIPE = resolve_recipe({"sources": [{"path": "/data", "licence": "MIT"}], "training": {"total_steps": 100}})


def saved(step: int) -> CheckpointSaved:
    return CheckpointSaved(
        run_id="r",
        checkpoint_id=f"r-7-{step}",
        epoch=7,
        step=step,
        uri=f"runs/r/checkpoints/7-{step}",
        manifest_sha256="0" * 64,
        num_bytes=1,
        blocked_s=0.0,
    )


LOG: tuple[Message, ...] = (
    RunAccepted(run_id="r", recipe=RECIPE.as_json(), recipe_sha256=RECIPE.sha256()),
    SearchCompleted(run_id="r", num_trials=4, params={"matrix_lr": 0.01, "adam_lr": 0.005, "lr_factor": 0.5}, loss=3.0),
    saved(20),
    saved(50),
    saved(100),
    CheckpointPruned(run_id="r", checkpoint_id="r-7-20", step=20, uri="u"),
    TrainingCompleted(run_id="r", checkpoint_id="r-7-100", uri="u", step=100, loss=3.0, tokens=1, seconds=1.0),
)


def test_a_run_is_extended_from_its_end_at_the_rates_that_its_search_chose() -> None:
    recipe = resolve_recipe(extension(LOG, steps=50))
    plan = recipe.derived
    assert (recipe.extends, recipe.first_step, recipe.trials) == ("r-7-100", 100, 0)
    assert (plan.total_steps, plan.decay_start, plan.matrix_lr, plan.adam_lr) == (150, 130, 0.01, 0.005)
    assert recipe.seed == RECIPE.seed


def test_minutes_buy_as_many_steps_as_they_did_for_the_other_run() -> None:
    assert resolve_recipe(extension(LOG, minutes=RECIPE.minutes / 2)).derived.total_steps == 150


def test_a_branch_without_a_length_ends_where_the_others_plan_does() -> None:
    plan = resolve_recipe(extension(LOG, checkpoint_id="r-7-50")).derived
    assert plan == RECIPE.derived.model_copy(update={"matrix_lr": 0.01, "adam_lr": 0.005})


@pytest.mark.parametrize(
    ("log", "wishes", "sentence"),
    [
        (
            LOG,
            {"checkpoint_id": "r-7-20", "steps": 9},
            "checkpoint r-7-20 is pruned: name one that is there; the newest: r-7-50, r-7-100",
        ),
        (LOG, {"checkpoint_id": "r-7-9"}, "no checkpoint 'r-7-9'; the newest that it has: r-7-50, r-7-100"),
        (LOG, {}, "training of the run is complete, at r-7-100: say how much longer, --steps or --minutes"),
        (LOG, {"checkpoint_id": "r-7-100"}, "r-7-100 is the end of its run's plan: say how much longer"),
        (LOG, {"steps": 1, "minutes": 1.0}, "--steps is 1 and --minutes is 1: give one of them"),
        (LOG[:-1], {"steps": 9}, "training of the run has not ended: name one of its checkpoints"),
        (LOG[1:], {"steps": 9}, "the run was not accepted"),
        ((CancelRun(run_id="nobody"),), {"steps": 9}, "there is no run 'nobody' in the log"),
    ],
)
def test_what_cannot_be_extended_is_said_in_a_sentence(log: tuple[Message, ...], wishes: dict, sentence: str) -> None:
    with pytest.raises(ClientError, match=sentence):
        extension(log, **wishes)


def test_a_plan_that_ends_before_it_begins_and_a_name_that_is_no_checkpoint_are_refused() -> None:
    fields = extension(LOG, steps=50)
    with pytest.raises(RecipeError, match="r-7-150 has as many already"):
        resolve_recipe({**fields, "extends": "r-7-150"})
    for name in ("last", "../../x-1-1", "r-1-010", "r-1-0", "R-1-1", "r-1-1\n"):
        with pytest.raises(RecipeError, match="name a checkpoint"):
            resolve_recipe({**fields, "extends": name})
