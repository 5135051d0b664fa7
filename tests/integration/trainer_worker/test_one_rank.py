"""The loop on one rank in this process: what is reported, saved and refused."""

import dataclasses
import json
import resource
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.checkpoint import CheckpointSaveFailed
from ropewalk.model.architecture import Shape, build_model
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.manifest import verify
from ropewalk.trainer.adapters.worker.batches import Batches
from ropewalk.trainer.adapters.worker.ddp import Ddp
from ropewalk.trainer.adapters.worker.device import choose_device
from ropewalk.trainer.adapters.worker.job import (
    CheckpointWritten,
    Finished,
    Started,
    StepLoss,
    StepsDone,
    WorkerError,
)
from ropewalk.trainer.adapters.worker.loop import run_worker
from ropewalk.trainer.adapters.worker.progress import METRICS, read_rows


def of(kind, reports):
    return [report for report in reports if isinstance(report, kind)]


def test_a_run_learns_and_reports_started_steps_and_finished(workshop, tools):
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


def test_a_gpu_that_is_not_there_is_no_reason_not_to_train(workshop, tools):
    reports = tools.run_alone(workshop.job("no-gpu", tools.a_recipe(tools.a_plan(device="cuda", precision="bf16"))))
    assert reports[0].device == "CPU, fp32 (the recipe asks for a GPU in bf16 and there is none: training on the CPU)"
    assert reports[-1].step == 12
    state = json.loads((workshop.checkpoint("no-gpu", 12) / "state.json").read_text())
    assert state["environment"]["device"] == reports[0].device


def test_products_in_bf16_learn_as_those_in_fp32(workshop, tools):
    rough = tools.run_alone(workshop.job("bf16", tools.a_recipe(tools.a_plan(precision="bf16"))))
    exact = tools.run_alone(workshop.job("fp32"))
    assert rough[0].device == "CPU, bf16"
    assert tools.losses(rough) == pytest.approx(tools.losses(exact), rel=0.01)
    assert tools.losses(rough) != tools.losses(exact)


def test_gradients_above_the_limit_are_scaled_down_to_it_and_others_left_alone(workshop, tools):
    """After the first step the momentum is a twentieth of the gradient that was applied."""
    momenta, norms = {}, {}
    for name, limit in (("clipped", 0.25), ("free", 1e6)):
        plan = tools.a_plan(total_steps=1, warmup_steps=0, decay_start=1, grad_clip=limit)
        reports = tools.run_alone(workshop.job(name, tools.a_recipe(plan)))
        norms[limit] = next(row.grad_norm for report in of(StepsDone, reports) for row in report.rows)
        momenta[limit] = load_file(workshop.checkpoint(name, 1) / "optimizer.safetensors")
    assert norms[0.25] == norms[1e6] > 0.25  # what is reported is what it was
    for name, whole in momenta[1e6].items():
        if name.endswith((".momentum", ".exp_avg")):
            torch.testing.assert_close(momenta[0.25][name], whole * (0.25 / norms[1e6]))


def test_every_step_moves_at_the_rate_that_the_schedule_has_for_it(workshop, tools, monkeypatch):
    scales = []

    class RecordingDdp(Ddp):
        def apply(self, *, gradient_factor, rate_scale):
            scales.append(rate_scale)
            super().apply(gradient_factor=gradient_factor, rate_scale=rate_scale)

    monkeypatch.setattr("ropewalk.trainer.adapters.worker.ddp.Ddp", RecordingDdp)
    plan = tools.a_plan(total_steps=8, warmup_steps=2, decay_start=4)
    tools.run_alone(workshop.job("rates", tools.a_recipe(plan)))
    assert scales == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 0.7625, 0.525, 0.2875])
    scales.clear()
    tools.run_alone(workshop.job("trial-rates", tools.a_recipe(plan), stop_after_steps=4))
    assert scales == pytest.approx([0.5, 1.0, 1.0, 1.0])  # the beginning of the whole training


def test_a_resumed_run_divides_its_batches_as_before_whatever_the_machine_would_choose(workshop, tools, monkeypatch):
    monkeypatch.setattr("ropewalk.trainer.adapters.worker.micro_batch.CPU_TOKENS", 16)
    job = workshop.job("divided")
    whole = tools.losses(tools.run_alone(job))
    monkeypatch.undo()
    resumed = dataclasses.replace(job, epoch=2, resume_from=workshop.checkpoint("divided", 4))
    rest = tools.losses(tools.run_alone(resumed))
    assert rest == {step: loss for step, loss in whole.items() if step >= 4}
    state = json.loads((workshop.checkpoint("divided", 12, epoch=2) / "state.json").read_text())
    assert state["micro_tokens"] == 16


def test_checkpoints_verify_and_commit_every_step_once(workshop, tools):
    written = of(CheckpointWritten, tools.run_alone(workshop.job("saves")))
    assert [(w.committed.first_step, w.committed.last_step) for w in written] == [(0, 3), (4, 7), (8, 11)]
    parents = []
    for report in written:
        saved = report.saved
        manifest = verify(workshop.objects.fetch(saved.uri))
        assert manifest.sha256 == saved.manifest_sha256
        assert manifest.files["ledger.jsonl"][0] == report.committed.sha256
        assert (manifest.meta["step"], manifest.meta["checkpoint_id"]) == (saved.step, saved.checkpoint_id)
        assert report.committed.num_samples == 4 * 5
        parents.append(manifest.meta["parent_id"])
    assert parents == ["", "saves-1-4", "saves-1-8"]


def test_writing_a_checkpoint_again_after_a_restart_gives_the_same_bytes_but_for_times(workshop, tools):
    job = workshop.job("twice")
    first = of(CheckpointWritten, tools.run_alone(job))
    again = dataclasses.replace(job, attempt=2, store=StoreAddress(url=(workshop.root / "again").as_uri()))
    second = of(CheckpointWritten, tools.run_alone(again))
    for one, other in zip(first, second, strict=True):
        files = verify(workshop.root / "objects" / one.saved.uri).files
        assert {METRICS} == dict(files.items() ^ verify(workshop.root / "again" / other.saved.uri).files.items()).keys()


def test_what_an_abandoned_group_wrote_at_the_same_place_makes_way_for_the_group_that_runs(workshop, tools):
    """It has the same weights; the times of its steps are others."""
    tools.run_alone(workshop.job("twice"))
    late = {step: verify(workshop.checkpoint("twice", step)).sha256 for step in (8, 12)}
    shutil.rmtree(workshop.checkpoint("twice", 4))
    reports = tools.run_alone(workshop.job("twice"))
    assert of(CheckpointSaveFailed, reports) == []
    assert [written.saved.step for written in of(CheckpointWritten, reports)] == [4, 8, 12]
    for step, sha256 in late.items():
        assert verify(workshop.checkpoint("twice", step)).sha256 != sha256
        assert verify(workshop.root / "objects" / "quarantine" / "checkpoints" / f"twice-1-{step}").sha256 == sha256


def test_the_loss_is_the_mean_over_the_masked_targets_of_the_batch(workshop, tools):
    folder = workshop.dataset(masked=True)
    losses = tools.losses(tools.run_alone(workshop.job("masked", dataset=folder)))
    shard, plan = TokenShard(folder), tools.a_plan()
    windows = [shard.window(sample) for sample in SampleOrder("d" * 64, 17, 40).samples(0, 5)]
    shape = Shape(
        **plan.model_dump(include={"vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim"}),
        intermediate_size=plan.intermediate_size,
        context_length=16,
    )
    logits = build_model(shape, 17)(input_ids=torch.stack([torch.tensor(w.inputs) for w in windows])).logits
    chosen = torch.stack([torch.tensor(w.mask) for w in windows])
    targets = torch.stack([torch.tensor(w.targets) for w in windows])
    assert 0 < chosen.sum() < chosen.numel()
    expected = torch.nn.functional.cross_entropy(logits[chosen], targets[chosen])
    assert losses[0] == pytest.approx(expected.item(), rel=1e-5)


def test_a_run_killed_at_any_moment_goes_on_bit_for_bit_from_its_newest_checkpoint(workshop, tools):
    recipe = tools.a_recipe(tools.a_plan(total_steps=200, decay_start=150, checkpoint_every=5))
    whole = tools.losses(tools.run_alone(workshop.job("whole", recipe)))
    killed = workshop.job("killed", recipe)
    (process,) = tools.start_ranks([killed], 1, workshop.root / "ranks")
    deadline = time.monotonic() + 60
    while len(workshop.objects.list("runs/killed")) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    newest = max(workshop.objects.list("runs/killed"), key=lambda key: int(key.rpartition("-")[2]))
    folder = workshop.objects.fetch(newest)
    verify(folder)
    rest = tools.losses(tools.run_alone(dataclasses.replace(killed, epoch=2, attempt=2, resume_from=folder)))
    assert 15 <= min(rest) < 200
    assert rest == {step: loss for step, loss in whole.items() if step >= min(rest)}
    kept = [row for key in workshop.objects.list("runs/killed") for row in read_rows(workshop.objects.fetch(key))]
    assert {row.step: row.loss for row in kept if row.attempt == 1} == {
        step: loss for step, loss in whole.items() if step < min(rest)
    }


def test_a_trial_reports_losses_and_saves_nothing(workshop, tools):
    reports = tools.run_alone(workshop.job("trial", stop_after_steps=6))
    assert [report.step for report in of(StepLoss, reports)] == list(range(6))
    assert reports[-1].checkpoint_id == ""
    assert of(CheckpointWritten, reports) == []
    assert workshop.objects.list("runs") == []


def test_a_trial_that_goes_on_from_its_own_end_has_the_losses_of_one_that_never_stopped(workshop, tools):
    whole = [report.loss for report in of(StepLoss, tools.run_alone(workshop.job("trial", stop_after_steps=6)))]
    first = tools.run_alone(workshop.job("trial", stop_after_steps=4, keeps_trial=True))
    assert first[-1].uri
    folder = workshop.objects.fetch(first[-1].uri)
    second = tools.run_alone(workshop.job("trial", epoch=2, stop_after_steps=6, resume_from=folder))
    assert [report.loss for report in of(StepLoss, first + second)] == whole


def test_the_stop_file_ends_a_run_with_a_checkpoint_and_it_can_go_on(workshop, tools, tmp_path):
    whole = tools.losses(tools.run_alone(workshop.job("whole")))
    stop = tmp_path / "stop"
    job = workshop.job("whole", epoch=2, stop_file=stop)
    reports = []

    def stop_at_the_first_checkpoint(report):
        reports.append(report)
        if isinstance(report, CheckpointWritten):
            stop.touch()

    run_worker(job, 0, 1, stop_at_the_first_checkpoint)
    last = reports[-1]
    assert last.stopped
    assert 4 <= last.step < 12
    rest = tools.run_alone(
        dataclasses.replace(job, epoch=3, stop_file=None, resume_from=workshop.objects.fetch(last.uri))
    )
    assert tools.losses(reports) | tools.losses(rest) == whole


def test_a_run_that_is_stopped_right_after_a_checkpoint_ends_with_that_one(workshop, tools):
    stop = workshop.root / "stop"
    reports = []

    def stop_in_the_first_step(report):
        reports.append(report)
        if isinstance(report, Started):
            stop.touch()

    job = workshop.job("stopped", tools.a_recipe(tools.a_plan(checkpoint_every=1)), stop_file=stop)
    run_worker(job, 0, 1, stop_in_the_first_step)
    last = reports[-1]
    assert (last.step, last.stopped, last.uri) == (1, True, "runs/stopped/checkpoints/1-1")
    assert of(CheckpointSaveFailed, reports) == []


def test_a_job_that_resumes_at_its_last_step_finishes_with_that_checkpoint(workshop, tools):
    tools.run_alone(workshop.job("done"))
    again = workshop.job("done", epoch=2, resume_from=workshop.checkpoint("done", 12))
    last = tools.run_alone(again)[-1]
    assert (last.step, last.checkpoint_id, last.uri) == (12, "done-1-12", "runs/done/checkpoints/1-12")


def test_a_disk_that_fills_up_fails_a_checkpoint_and_the_next_one_holds_its_steps(workshop, tools):
    """A limit on the file size gives the real write error; it is lifted once the failure is reported."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reports = []

    def make_room(report):
        reports.append(report)
        if isinstance(report, CheckpointSaveFailed):
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    job = workshop.job("full", tools.a_recipe(tools.a_plan(total_steps=40)))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        run_worker(job, 0, 1, make_room)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    failed, written = of(CheckpointSaveFailed, reports), of(CheckpointWritten, reports)
    assert failed[0].step == 4
    assert failed[0].checkpoint_id == "full-1-4"
    assert "File too large" in failed[0].reason
    assert written[0].committed.first_step == 0
    assert written[-1].committed.last_step == 39
    assert sum(report.committed.num_samples for report in written) == 40 * 5
    assert list((workshop.root / "scratch").iterdir()) == []


def test_a_last_checkpoint_waits_for_space(workshop, tools):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reports = []

    def make_room(report):
        reports.append(report)
        if isinstance(report, CheckpointSaveFailed):
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    job = workshop.job("full", tools.a_recipe(tools.a_plan(total_steps=3)))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        run_worker(job, 0, 1, make_room)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(of(CheckpointSaveFailed, reports)) == 1
    assert of(CheckpointWritten, reports)[0].committed.last_step == 2
    assert reports[-1].checkpoint_id == "full-1-3"


def test_a_last_checkpoint_that_still_cannot_be_written_is_an_error(workshop, tools):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    job = workshop.job("full", tools.a_recipe(tools.a_plan(total_steps=3)), patience_s=1.5)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(WorkerError, match=r"the last checkpoint \(step 3\) could not be written for 2 s: .*large"):
            tools.run_alone(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_job_that_is_stopped_does_not_wait_for_space(workshop, tools):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    stop = workshop.root / "stop"
    stop.touch()
    job = workshop.job("full", tools.a_recipe(tools.a_plan(total_steps=3)), stop_file=stop)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        last = tools.run_alone(job)[-1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (last.stopped, last.checkpoint_id) == (True, "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"matrix_lr": 0.5}, "matrix_lr was 0.02"),
        ({"dataset_version": "e" * 64}, "dataset_version"),
    ],
)
def test_resuming_under_changed_conditions_is_refused(workshop, tools, changes, sentence):
    tools.run_alone(workshop.job("run"))
    job = workshop.job("run", epoch=2, resume_from=workshop.checkpoint("run", 4), **changes)
    with pytest.raises(WorkerError, match=f"cannot resume: {sentence}"):
        tools.run_alone(job)


def test_a_state_in_which_adamw_moved_the_matrices_is_refused(workshop, tools, tmp_path):
    tools.run_alone(workshop.job("run"))
    folder = shutil.copytree(workshop.checkpoint("run", 4), tmp_path / "old")
    state = load_file(folder / "optimizer.safetensors")
    save_file({name: each for name, each in state.items() if "momentum" not in name}, folder / "optimizer.safetensors")
    job = workshop.job("run", epoch=2, resume_from=folder)
    with pytest.raises(WorkerError, match="deepspeed of a release before moved all weights with AdamW"):
        tools.run_alone(job)


def test_a_dataset_smaller_than_a_batch_is_refused(workshop, tools):
    job = workshop.job("small", dataset=workshop.dataset(num_windows=3))
    with pytest.raises(WorkerError, match="3 windows of 16 tokens, fewer than one batch of 5"):
        tools.run_alone(job)


def test_more_workers_than_a_batch_has_windows_are_refused(workshop, tools):
    job = workshop.job("r")
    with pytest.raises(WorkerError, match="a batch of 5 windows cannot be shared by 6 workers: set num_workers to 5"):
        Batches(TokenShard(job.dataset), job, 0, 6, choose_device(job.recipe, 0))


def test_how_often_is_saved_changes_no_bit(workshop, tools):
    for run_id, every in (("often", 1), ("seldom", 5), ("never", 100)):
        tools.run_alone(workshop.job(run_id, tools.a_recipe(tools.a_plan(checkpoint_every=every))))
    for name in ("model.safetensors", "optimizer.safetensors"):
        often, seldom, never = (
            (workshop.checkpoint(run_id, 12) / name).read_bytes() for run_id in ("often", "seldom", "never")
        )
        assert often == seldom == never, name
    assert workshop.checkpoint("often", 3).exists()
    assert not workshop.checkpoint("never", 3).exists()


def test_a_base_model_that_is_no_model_is_refused_with_its_name(workshop, tools, tmp_path):
    recipe = tools.a_recipe(mode="finetune", base_model=str(tmp_path))
    with pytest.raises(WorkerError, match=r"base_model .* cannot be loaded"):
        tools.run_alone(workshop.job("tune", recipe))


def test_full_fine_tuning_starts_from_the_base_model(workshop, tools):
    tools.run_alone(workshop.job("base", tools.a_recipe(tools.a_plan(total_steps=60, decay_start=40))))
    recipe = tools.a_recipe(mode="finetune", base_model=str(workshop.checkpoint("base", 60)))
    losses = tools.losses(tools.run_alone(workshop.job("tune", recipe)))
    assert losses[0] < 4


def test_metrics_name_the_attempt_the_rate_and_the_tokens_of_a_step(workshop, tools):
    reports = tools.run_alone(workshop.job("rows", attempt=3))
    rows = [row for report in of(StepsDone, reports) for row in report.rows]
    assert {row.attempt for row in rows} == {3}
    assert {row.tokens for row in rows} == {5 * 16}
    assert [rows[0].lr, rows[1].lr] == [pytest.approx(0.01), pytest.approx(0.02)]
    assert all(row.step_s >= row.data_s >= 0 for row in rows)
    assert all(torch.isfinite(torch.tensor(row.grad_norm)) for row in rows)


def test_a_cap_on_tokens_ends_a_run_before_it_is_exceeded_with_a_checkpoint_of_the_same_bits(workshop, tools):
    whole = tools.losses(tools.run_alone(workshop.job("uncapped")))
    reports = tools.run_alone(workshop.job("capped", stop_before=7))
    assert (reports[-1].step, reports[-1].stopped, reports[-1].checkpoint_id) == (7, True, "capped-1-7")
    assert tools.losses(reports) == {step: loss for step, loss in whole.items() if step < 7}
