"""A run whose sources have shares goes on exactly where it stood, on any number of workers."""

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.document import DOCUMENTS, write_records
from ropewalk.corpus.ledger import read_ledger
from ropewalk.corpus.mixture import mixed_order
from ropewalk.corpus.shards import ShardMeta
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.storage.manifest import read_manifest
from ropewalk.trainer.adapters.worker.job import WorkerError

NUM_WINDOWS, RARE = 40, 6


def sources(*weights: float, **rare: float) -> tuple[SourceRecipe, ...]:
    return tuple(
        SourceRecipe(path=path, licence="CC0-1.0", weight=weight, **(rare if path == "/rare" else {}))
        for path, weight in zip(("/rare", "/plenty"), weights, strict=True)
    )


def a_mixed_job(workshop, tools, run_id: str, *, weights=(1.0, 3.0), **changes: object):
    folder = workshop.root / "mixed"
    if not workshop.objects.exists("datasets/mixed"):
        plain = workshop.dataset()
        shutil.copytree(plain, folder, ignore=shutil.ignore_patterns("manifest.json"))
        rare, plenty = (source.source_id for source in sources(1, 1))
        places = ((rare, 0), (plenty, RARE * 16))
        write_records(folder / DOCUMENTS, ({"source_id": source_id, "start": start} for source_id, start in places))
        workshop.objects.publish(folder, "datasets/mixed", read_manifest(plain).meta)
    recipe = tools.a_recipe(sources=sources(*weights, **changes.pop("rare", {})))
    return workshop.job(run_id, recipe, dataset=workshop.objects.fetch("datasets/mixed"), **changes)


def read_by(workshop, run_id: str, *steps: int) -> list[int]:
    rows = (row for step in steps for row in read_ledger(workshop.checkpoint(run_id, step)))
    return [sample for row in rows for sample in row.samples]


def test_a_run_that_died_goes_on_at_the_window_and_with_the_bits_that_it_would_have_had(workshop, tools) -> None:
    job = a_mixed_job(workshop, tools, "whole")
    whole = tools.losses(tools.run_alone(job))
    order = mixed_order(job.recipe, job.dataset, ShardMeta.of_json(read_manifest(job.dataset).meta))
    sequence = read_by(workshop, "whole", 4, 8, 12)
    assert sequence == order.indices(0, 60)
    assert sum(window < RARE for window in sequence) == 15  # a quarter of all, of 6 windows
    branch = dataclasses.replace(
        a_mixed_job(workshop, tools, "branch", resume_from=workshop.checkpoint("whole", 8)),
        recipe=job.recipe.model_copy(update={"extends": "whole-1-8"}),
    )
    assert tools.losses(tools.run_alone(branch)) == {step: loss for step, loss in whole.items() if step >= 8}
    assert read_by(workshop, "branch", 12) == order.indices(40, 20)
    one, other = (load_file(workshop.checkpoint(run_id, 12) / "model.safetensors") for run_id in ("whole", "branch"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_two_workers_read_what_one_reads(workshop, tools, tmp_path) -> None:
    tools.run_alone(a_mixed_job(workshop, tools, "alone"))
    tools.run_on_ranks([a_mixed_job(workshop, tools, "both")], 2, tmp_path / "ranks")
    assert read_by(workshop, "both", 4, 8, 12) == read_by(workshop, "alone", 4, 8, 12)


def test_other_shares_are_refused_when_a_run_goes_on_and_epochs_that_end_too_soon_before_it_starts(
    workshop, tools
) -> None:
    tools.run_alone(a_mixed_job(workshop, tools, "whole"))
    resumed = a_mixed_job(workshop, tools, "whole", weights=(1.0, 1.0), resume_from=workshop.checkpoint("whole", 8))
    with pytest.raises(WorkerError, match=r"cannot resume: mixture was .* when the checkpoint was written"):
        tools.run_alone(resumed)
    with pytest.raises(WorkerError, match="'/rare' has 6 windows, and training would read 15 of it, more than its ep"):
        tools.run_alone(a_mixed_job(workshop, tools, "too-often", rare={"epochs": 2}))
