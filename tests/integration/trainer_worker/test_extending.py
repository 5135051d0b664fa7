"""A run that goes on where another one stands: the same bits where the plan is the same, and no sample twice."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.ledger import read_ledger
from ropewalk.corpus.order import SampleOrder
from ropewalk.storage.manifest import read_manifest
from ropewalk.trainer.adapters.worker.job import WorkerError


def an_extension(workshop, tools, run_id: str, step: int, **plan: object):
    recipe = tools.a_recipe(tools.a_plan(**plan), extends=f"parent-1-{step}")
    return dataclasses.replace(workshop.job(run_id, recipe), resume_from=workshop.checkpoint("parent", step))


def test_a_branch_with_the_same_plan_ends_at_the_same_bits(workshop, tools) -> None:
    parent = tools.losses(tools.run_alone(workshop.job("parent")))
    branch = tools.losses(tools.run_alone(an_extension(workshop, tools, "branch", 4)))
    assert branch == {step: loss for step, loss in parent.items() if step >= 4}
    one, other = (load_file(workshop.checkpoint(run_id, 12) / "model.safetensors") for run_id in ("parent", "branch"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_longer_run_reads_on_in_the_order_of_the_first_so_that_no_sample_comes_twice_in_an_epoch(
    workshop, tools
) -> None:
    dataset = workshop.dataset(num_windows=100)
    tools.run_alone(dataclasses.replace(workshop.job("parent"), dataset=dataset))
    job = an_extension(workshop, tools, "longer", 12, total_steps=20)
    reports = tools.run_alone(dataclasses.replace(job, dataset=dataset))
    assert list(tools.losses(reports)) == list(range(12, 20))
    read = [
        sample
        for run_id, steps in (("parent", (4, 8, 12)), ("longer", (16, 20)))
        for step in steps
        for row in read_ledger(workshop.checkpoint(run_id, step))
        for sample in row.samples
    ]
    assert read == SampleOrder("d" * 64, job.recipe.seed, 100).indices(0, 100)
    assert sorted(read) == list(range(100))


def test_another_dataset_version_is_refused_in_a_sentence(workshop, tools) -> None:
    tools.run_alone(workshop.job("parent"))
    job = an_extension(workshop, tools, "other-data", 12, total_steps=20)
    with pytest.raises(WorkerError, match=r"cannot resume: dataset_version was 'd+' .* is 'e+' now"):
        tools.run_alone(dataclasses.replace(job, dataset_version="e" * 64))


def test_a_plan_of_another_width_is_refused_in_a_sentence(workshop, tools) -> None:
    tools.run_alone(workshop.job("parent"))
    job = an_extension(workshop, tools, "wider", 12, total_steps=20, intermediate_size=64)
    with pytest.raises(WorkerError, match=r"mlp\S+ has the shape \[48, 32\] in the checkpoint and \[64, 32\]"):
        tools.run_alone(job)


def test_the_last_checkpoint_tells_the_same_loss_as_the_end_of_training(workshop, tools) -> None:
    reports = tools.run_alone(workshop.job("parent"))
    assert read_manifest(workshop.checkpoint("parent", 12)).meta["loss"] == reports[-1].loss


def test_another_model_reads_on_from_its_weights_with_a_fresh_optimizer(workshop, tools) -> None:
    parent = tools.losses(tools.run_alone(workshop.job("parent")))
    recipe = tools.a_recipe(base_model=str(workshop.checkpoint("parent", 12)))
    reports = tools.run_alone(workshop.job("reads-on", recipe))
    first, *_, last = tools.losses(reports).values()
    assert reports[0].resume_step == 0
    assert last < first < parent[0] - 0.1
