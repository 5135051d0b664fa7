"""Real trials on Ray."""

import math

from ropewalk.events.training import TrialCompleted
from ropewalk.stages.child import run_child
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.domain.search import search_completed


async def test_a_search_tries_the_derived_rates_first_and_its_winner_is_no_worse(workshop) -> None:
    job = workshop.search()
    told: list[TrialCompleted] = []

    async def on_report(report: object) -> None:
        if isinstance(report, TrialCompleted):
            told.append(report)

    result = await run_child(entry.search, job, on_report)
    assert sorted(told, key=lambda trial: trial.trial) == list(result.trials)
    assert [trial.trial for trial in result.trials] == [0, 1, 2]
    first = result.trials[0]
    plan = job.recipe.derived
    assert first.params == {"matrix_lr": plan.matrix_lr, "adam_lr": plan.adam_lr, "lr_factor": 1.0}
    assert first.num_steps == plan.trial_steps
    assert first.loss < math.log(plan.vocab_size)
    completed = search_completed("r", result.trials)
    assert completed.loss <= first.loss
    assert all(0.25 <= trial.params["lr_factor"] <= 4 for trial in result.trials)
    assert not workshop.objects.list("runs/")


async def test_a_search_on_too_little_text_says_so(workshop) -> None:
    job = workshop.search()
    plan = job.recipe.derived.model_copy(update={"batch_size": 1000})
    recipe = job.recipe.model_copy(update={"plan": plan})
    result = await run_child(entry.search, type(job)(**{**vars(job), "recipe": recipe}))
    assert {trial.status for trial in result.trials} == {"failed"}
    assert "windows" in result.first_failure
