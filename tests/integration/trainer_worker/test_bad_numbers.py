"""Losses, weights and copies that go bad in a real training on one rank: what is left out, and what is gone back to."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.ledger import read_ledger
from ropewalk.events.training import StepSkipped, TrainingRolledBack
from ropewalk.trainer.adapters.worker.ddp import Ddp
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, StepsDone, WorkerError


def of(kind, reports):
    return [report for report in reports if isinstance(report, kind)]


class FaultyDdp(Ddp):
    """Calls what a test puts here, and counts."""

    passes = copies = 0
    spoil_loss = staticmethod(lambda nats: nats)
    spoil_weights = staticmethod(lambda ddp: None)
    spoil_copy = staticmethod(lambda copied: None)

    def nats(self, inputs, targets, *, last):
        FaultyDdp.passes += 1
        return FaultyDdp.spoil_loss(super().nats(inputs, targets, last=last))

    def apply(self, *, gradient_factor, rate_scale):
        super().apply(gradient_factor=gradient_factor, rate_scale=rate_scale)
        FaultyDdp.spoil_weights(self)

    def snapshot(self):
        copied = super().snapshot()
        FaultyDdp.copies += 1
        FaultyDdp.spoil_copy(copied)
        return copied

    def a_weight(self):
        return self._bare.model.layers[0].mlp.up_proj.weight


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr("ropewalk.trainer.adapters.worker.ddp.Ddp", FaultyDdp)
    monkeypatch.setattr(FaultyDdp, "passes", 0)
    monkeypatch.setattr(FaultyDdp, "copies", 0)
    return lambda name, spoil: monkeypatch.setattr(FaultyDdp, name, staticmethod(spoil))


def once(when, spoil):
    """Spoil the weights after the update number `when`, the first time it is made."""
    done = []

    def strike(ddp):
        if ddp._optimizer.num_updates == when and not done:
            done.append(True)
            with torch.no_grad():
                spoil(ddp.a_weight())

    return strike


def same_end(workshop, one, other, step=12):
    first, second = (load_file(workshop.checkpoint(run, step) / "model.safetensors") for run in (one, other))
    return all(first[name].equal(second[name]) for name in first)


def saved_steps(workshop, run):
    keys = workshop.objects.list(f"runs/{run}/checkpoints/")
    return sorted(int(key.rpartition("-")[2]) for key in keys)


@pytest.mark.parametrize(("value", "when", "back_to"), [(float("nan"), 2, 0), (float("inf"), 6, 4), (1e4, 6, 4)])
def test_a_weight_that_goes_bad_costs_the_steps_since_the_last_checkpoint_and_no_bit(
    workshop, tools, faulty, value, when, back_to
):
    job = workshop.job("clean", tools.a_recipe(strategy="ddp"))
    tools.run_alone(job)
    faulty("spoil_weights", once(when, lambda weight: weight.view(-1)[7:8].fill_(value)))
    reports = tools.run_alone(workshop.job("bad", tools.a_recipe(strategy="ddp")))
    (back,) = of(TrainingRolledBack, reports)
    assert back.resume_step == back_to
    assert "up_proj" in back.reason
    assert saved_steps(workshop, "bad") == [4, 8, 12]
    assert same_end(workshop, "clean", "bad")


def test_a_weight_that_is_bad_after_the_last_update_is_found_before_the_end_is_saved(workshop, tools, faulty):
    tools.run_alone(workshop.job("clean", tools.a_recipe(strategy="ddp")))
    faulty("spoil_weights", once(12, lambda weight: weight.view(-1)[7:8].fill_(float("inf"))))
    reports = tools.run_alone(workshop.job("bad", tools.a_recipe(strategy="ddp")))
    assert [(back.step, back.resume_step) for back in of(TrainingRolledBack, reports)] == [(12, 8)]
    assert same_end(workshop, "clean", "bad")


def test_a_copy_with_one_number_that_no_loss_shows_never_becomes_a_checkpoint(workshop, tools, faulty):
    tools.run_alone(workshop.job("clean", tools.a_recipe(strategy="ddp")))

    def overflow(copied):
        if FaultyDdp.copies == 5:  # three are those of the clean run
            next(iter(copied.optimizer.values())).view(-1)[7] = float("inf")

    faulty("spoil_copy", overflow)
    reports = tools.run_alone(workshop.job("bad", tools.a_recipe(strategy="ddp")))
    (back,) = of(TrainingRolledBack, reports)
    assert back.resume_step == 4
    assert back.reason.startswith("the optimizer state ")
    assert [report.saved.step for report in of(CheckpointWritten, reports)] == [4, 8, 12]
    assert same_end(workshop, "clean", "bad")


def test_copies_that_are_always_broken_end_the_run_with_a_sentence_and_no_checkpoint(workshop, tools, faulty):
    faulty("spoil_copy", lambda copied: next(iter(copied.weights.values())).view(-1)[7].fill_(float("inf")))
    with pytest.raises(WorkerError, match=r"went back 4 times .*: the weights \S+ hold inf after step"):
        tools.run_alone(workshop.job("bad", tools.a_recipe(strategy="ddp")))
    assert saved_steps(workshop, "bad") == []


def test_two_batches_that_are_bad_again_after_going_back_are_left_out_for_good(workshop, tools, faulty):
    """The order of samples tells a batch: those of steps 5 and 6 are bad whenever they are read."""
    bad = []

    def spoil(nats):
        if FaultyDdp.passes in (6, 7):
            bad.append(float(nats.detach()))
        return nats * float("nan") if FaultyDdp.passes in (6, 7) or float(nats.detach()) in bad else nats

    faulty("spoil_loss", spoil)
    reports = tools.run_alone(workshop.job("nan", tools.a_recipe(strategy="ddp")))
    assert [report.step for report in of(StepSkipped, reports)] == [5, 5, 6]
    assert "nan" in of(StepSkipped, reports)[0].reason
    assert [(back.step, back.resume_step) for back in of(TrainingRolledBack, reports)] == [(6, 4)]
    assert reports[-1].step == 12
    state = json.loads((workshop.checkpoint("nan", 12) / "state.json").read_text())
    assert (state["skipped_steps"], state["num_updates"]) == ([5, 6], 10)
    steps = [row.step for report in of(StepsDone, reports) for row in report.rows]
    assert sorted(set(steps)) == list(range(12))


def test_one_bad_batch_is_left_out_without_going_back(workshop, tools, faulty):
    faulty("spoil_loss", lambda nats: nats * float("nan") if FaultyDdp.passes == 4 else nats)
    reports = tools.run_alone(workshop.job("one", tools.a_recipe(strategy="ddp")))
    assert [report.step for report in of(StepSkipped, reports)] == [3]
    assert of(TrainingRolledBack, reports) == []
    rows = read_ledger(workshop.checkpoint("one", 5))
    assert [row.left_out for row in rows] == [False, False, False, True, False]
    assert saved_steps(workshop, "one") == [5, 8, 12]  # nothing is saved right after a bad step


def test_a_loss_that_is_never_a_number_ends_the_run_with_a_sentence(workshop, tools, faulty):
    faulty("spoil_loss", lambda nats: nats * float("nan"))
    recipe = tools.a_recipe(tools.a_plan(total_steps=60), strategy="ddp")
    with pytest.raises(WorkerError, match=r"20 updates in a row.*step 19.*loss is nan"):
        tools.run_alone(workshop.job("nan", recipe))
