"""The loop on one rank in this process: what is reported, saved and refused."""

import json

import pytest

from ropewalk.storage.manifest import verify
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepLoss, WorkerError


def test_a_run_learns_and_reports_started_steps_checkpoints_and_finished(workshop, tools):
    reports = tools.run_alone(workshop.job("learns", tools.a_recipe(tools.a_plan(total_steps=60, decay_start=40))))
    losses = tools.losses(reports)
    assert isinstance(reports[0], Started)
    assert list(losses) == list(range(60))
    assert losses[0] == pytest.approx(5.70, abs=0.02)  # ln 300
    assert losses[59] < 0.6 * losses[0]
    last = reports[-1]
    assert isinstance(last, Finished)
    assert (last.step, last.checkpoint_id, last.stopped) == (60, "learns-1-60", False)
    assert last.tokens == 60 * 5 * 16
