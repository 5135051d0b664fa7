"""The loop looks at held-out windows: nothing else changes by it, every world size sees the same, and it may stop."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from ropewalk.corpus.document import EVAL_ITEMS, write_records
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import TrainingValidated
from ropewalk.trainer.adapters.worker.held_out import held_out_windows
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, WorkerJob


@pytest.fixture
def looking(workshop, tools):
    """Makes a job that looks at windows of another language than the one it learns."""
    tokenizer, evalset = workshop.root / "tokenizer", workshop.root / "evalset"
    for folder in (tokenizer, evalset):
        folder.mkdir()
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(300)}, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    words.save(str(tokenizer / "tokenizer.json"))
    texts = [" ".join(f"w{7 * place * (item + 1) % 300}" for place in range(90)) for item in range(6)]
    write_records(evalset / EVAL_ITEMS, ({"item_id": f"{item}", "text": text} for item, text in enumerate(texts)))

    def a_job(run_id: str, **plan: object) -> WorkerJob:
        changes = {"validate_every": 2, "validation_windows": 9, **plan}
        recipe = tools.a_recipe(tools.a_plan(**changes), strategy="ddp")
        return dataclasses.replace(workshop.job(run_id, recipe), evalset=evalset, tokenizer=tokenizer)

    return a_job


def looks(reports) -> dict[int, float]:
    return {report.step: report.loss for report in reports if isinstance(report, TrainingValidated)}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_looking_changes_no_bit_of_the_training(workshop, tools, looking) -> None:
    with_looks = tools.run_alone(looking("looks", sample_prompts=("w1 w2", "")))
    without = tools.run_alone(looking("blind", validate_every=0))
    assert tools.losses(with_looks) == tools.losses(without)
    assert list(looks(with_looks)) == [2, 4, 6, 8, 10, 12]
    assert not looks(without)
    seen, blind = (weights(workshop.checkpoint(run_id, 12)) for run_id in ("looks", "blind"))
    assert all(torch.equal(seen[name], blind[name]) for name in blind)


def test_the_windows_are_the_same_each_time_and_full(looking) -> None:
    job = looking("windows")
    meta = TokenShard(job.dataset).meta
    inputs, targets = held_out_windows(job.evalset, job.tokenizer, meta, 9)
    again, _ = held_out_windows(job.evalset, job.tokenizer, meta, 9)
    assert inputs.shape == targets.shape == (9, 16)
    assert torch.equal(inputs, again)
    assert torch.equal(inputs.flatten()[1:], targets.flatten()[:-1])
    few, _ = held_out_windows(job.evalset, job.tokenizer, meta, 1000)
    assert len(few) == 12 + 1  # six documents of two windows and an end token each


@pytest.mark.slow
def test_every_world_size_and_strategy_sees_the_same_loss(tmp_path, tools, looking) -> None:
    alone = looks(tools.run_alone(looking("alone")))
    jobs = [looking("r-ddp"), looking("r-fsdp")]
    jobs[1] = dataclasses.replace(jobs[1], recipe=jobs[1].recipe.model_copy(update={"strategy": "fsdp"}))
    for reports in tools.run_on_ranks(jobs, 2, tmp_path / "two"):
        assert looks(reports) == pytest.approx(alone, rel=1e-6)


def test_a_training_stops_when_the_held_out_loss_falls_no_more_and_ends_with_its_best_checkpoint(
    workshop, tools, looking
) -> None:
    plan = {"total_steps": 40, "decay_start": 30, "patience": 3, "checkpoint_every": 1000, "matrix_lr": 0.05}
    reports = tools.run_alone(looking("early", **plan))
    seen, last = looks(reports), reports[-1]
    assert isinstance(last, Finished)
    best = min(seen, key=seen.__getitem__)
    assert (last.num_steps, last.step, last.stopped) == (best + 6, best, False)
    assert last.stopped_by == "patience: no better held-out loss for 3 looks"
    assert last.uri == f"runs/early/checkpoints/1-{best}"
    saved = {each.saved.step: each.saved.held_out_loss for each in reports if isinstance(each, CheckpointWritten)}
    assert saved[best] == seen[best]

    resumed = dataclasses.replace(looking("early", **plan), epoch=2, resume_from=workshop.checkpoint("early", best))
    again = tools.run_alone(resumed)
    assert looks(again) == {step: loss for step, loss in seen.items() if step > best}
    assert (again[-1].num_steps, again[-1].uri) == (last.num_steps, last.uri)


def test_the_model_speaks_while_it_learns_and_not_for_long(tools, looking) -> None:
    reports = tools.run_alone(looking("speaks", sample_prompts=("w3 w6", "w9 " * 400)))
    samples = [report.samples for report in reports if isinstance(report, TrainingValidated)][-1]
    assert samples[0].prompt == "w3 w6"
    assert len(samples[0].text.split()) == 8  # half of a window of 16
    assert len(samples[1].prompt) < 600


def test_where_nothing_can_be_looked_at_training_goes_on_without(tools, looking) -> None:
    job = looking("empty", patience=1)
    write_records(job.evalset / EVAL_ITEMS, [])
    reports = tools.run_alone(job)
    assert not looks(reports)
    assert reports[-1].step == 12


def test_what_the_state_holds_of_the_looks_is_json(workshop, tools, looking) -> None:
    tools.run_alone(looking("state"))
    state = json.loads((workshop.checkpoint("state", 12) / "state.json").read_text())
    assert state["validation"]["step"] == 12
