"""Real trials on Ray."""

import math
from dataclasses import replace

from ropewalk.events.training import RungReached
from ropewalk.recipes.ladder import ladder_of
from ropewalk.stages.child import run_child
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.domain.search import ended_trials, search_completed


async def test_a_search_goes_on_from_what_its_journal_tells_and_ends_the_same(workshop) -> None:
    job = workshop.search()
    ladder, told = ladder_of(job.recipe), []

    async def on_report(report: object) -> None:
        if isinstance(report, RungReached):
            told.append(report)

    journal = await run_child(entry.search, job, on_report)
    assert not [rung.detail for rung in told if rung.detail]
    assert {(rung.trial, rung.rung) for rung in told} >= {(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)}
    assert len(told) == len({(rung.trial, rung.rung) for rung in told}) <= 6
    assert {rung.num_steps for rung in told} == set(ladder.steps)
    loss = {(rung.trial, rung.rung): rung.loss for rung in told}
    assert loss[0, 1] < loss[0, 0] < math.log(job.recipe.derived.vocab_size)
    assert not workshop.objects.list("runs/")
    ended = ended_trials(job.recipe, journal)
    assert [trial.status for trial in ended].count("complete") == len(told) - 4

    heard = tuple(told[:2])  # of a search that was killed then
    told.clear()
    resumed = await run_child(entry.search, replace(job, epoch=2, journal=heard), on_report)
    assert not {(rung.trial, rung.rung) for rung in told} & {(rung.trial, rung.rung) for rung in heard}
    assert search_completed("r", job.recipe, resumed) == search_completed("r", job.recipe, journal)


async def test_a_search_on_too_little_text_says_so(workshop) -> None:
    job = workshop.search()
    plan = job.recipe.derived.model_copy(update={"batch_size": 1000})
    recipe = job.recipe.model_copy(update={"plan": plan})
    journal = await run_child(entry.search, replace(job, recipe=recipe))
    assert {trial.status for trial in ended_trials(recipe, journal)} == {"failed"}
    assert "windows" in journal[0].detail
