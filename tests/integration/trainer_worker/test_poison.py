"""A sample that ends every process which learns from it, in a real training on one rank that was told of the step."""

import json
import os
import signal

import pytest
import torch

from ropewalk.corpus.ledger import read_ledger
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import SamplesLeftOut, StepSkipped
from ropewalk.model.linear_nats import IGNORED
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.trainer.adapters.worker.batches import Batches
from ropewalk.trainer.adapters.worker.device import choose_device
from ropewalk.trainer.domain.poison import Suspect

_STEP = 6


@pytest.fixture
def poison(workshop, monkeypatch) -> int:
    """The sample. In this process, which is the worker, it would be an error; in a child it is a segfault."""
    order = SampleOrder("d" * 64, 0, 40)
    sample = order.samples(_STEP, 5)[3]
    tokens = torch.from_numpy(TokenShard(workshop.dataset()).window(sample).inputs)
    worker, forward = os.getpid(), NextTokenLoss.forward

    def deadly(loss, inputs, targets):
        if (inputs == tokens).all(dim=1).any():
            assert os.getpid() != worker, "the worker itself died of the sample"
            os.kill(os.getpid(), signal.SIGSEGV)
        return forward(loss, inputs, targets)

    monkeypatch.setattr(NextTokenLoss, "forward", deadly)
    return sample


def test_the_sample_is_found_named_left_out_marked_and_never_read_again(workshop, tools, poison):
    recipe = tools.a_recipe(seed=0)
    reports = tools.run_alone(workshop.job("r", recipe, suspects=(Suspect(_STEP, whole=False),)))

    (found,) = [report for report in reports if isinstance(report, SamplesLeftOut)]
    assert (found.step, found.samples, found.num_samples) == (_STEP, (poison,), 1)
    assert not [report for report in reports if isinstance(report, StepSkipped)]
    state = json.loads((workshop.checkpoint("r", 8) / "state.json").read_text())
    assert state["left_out"] == [poison]
    ignored = {row.step: row.ignored for row in read_ledger(workshop.checkpoint("r", 8))}
    assert ignored == {4: (), 5: (), _STEP: (poison,), 7: ()}

    resumed = tools.run_alone(workshop.job("r", recipe, epoch=2, attempt=2, resume_from=workshop.checkpoint("r", 8)))
    before, after = tools.losses(reports), tools.losses(resumed)
    assert after == {step: before[step] for step in range(8, 12)}


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_of_a_step_is_the_mean_over_what_is_not_left_out(workshop, masked):
    job = workshop.job("r", dataset=workshop.dataset(masked=masked))
    shard = TokenShard(job.dataset)
    batches = Batches(shard, job, 0, 1, choose_device(job.recipe, 0))
    samples = batches.mine(_STEP)
    batches.left_out = frozenset(samples[1:3])

    read = batches.read(_STEP)
    ((inputs, targets),) = read.parts
    counting = [int(shard.window(sample).mask.sum()) for sample in samples]
    assert (targets != IGNORED).sum(dim=1).tolist() == [counting[0], 0, 0, counting[3], counting[4]]
    assert read.num_targets == counting[0] + counting[3] + counting[4]
    assert read.samples == tuple(samples)
    assert not inputs[1:3].any()


def test_a_step_of_which_everything_is_left_out_is_skipped(workshop, tools, poison):
    recipe = tools.a_recipe(seed=0)
    reports = tools.run_alone(workshop.job("r", recipe, suspects=(Suspect(_STEP, whole=True),)))

    (found,) = [report for report in reports if isinstance(report, SamplesLeftOut)]
    assert (len(found.samples), found.num_samples) == (5, 5)
    assert [report.step for report in reports if isinstance(report, StepSkipped)] == [_STEP]
    rows = {row.step: row for row in read_ledger(workshop.checkpoint("r", 8))}
    assert rows[_STEP].left_out


def test_of_a_harmless_step_that_was_suspected_nothing_is_left_out_and_no_bit_differs(workshop, tools):
    suspected = tools.run_alone(workshop.job("one", suspects=(Suspect(3, whole=False),)))
    plain = tools.run_alone(workshop.job("two"))
    assert not [report for report in suspected if isinstance(report, SamplesLeftOut)]
    assert tools.losses(suspected) == tools.losses(plain)
