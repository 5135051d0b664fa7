"""Two real gloo processes: the same bits after a resume, checkpoints that any strategy and world size reads."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.order import SampleOrder
from ropewalk.model.lora import checkpoint_weights
from ropewalk.storage.manifest import verify
from ropewalk.trainer.adapters.worker.job import Started, StepsDone

CONTENT = "c" * 64
ADAPTERS = ("lora", "dora")
STRATEGIES = ("ddp", "fsdp", "zero1", "zero2", "zero3")
CROSSINGS = (("fsdp", "ddp"), ("ddp", "zero2"), ("zero1", "zero3"), ("zero3", "fsdp"))


@pytest.fixture(scope="module")
def runs(shared_workshop, tools):
    """Every job of this module, run once in one group of two. Maps a run's id to its reports."""
    workshop = shared_workshop
    jobs = []
    for strategy in STRATEGIES:
        whole = workshop.job(f"{strategy}-whole", tools.a_recipe(strategy=strategy))
        resumed = dataclasses.replace(whole, epoch=2, attempt=2, resume_from=workshop.checkpoint(whole.run_id, 4))
        parts = dataclasses.replace(whole, run_id=f"{strategy}{tools.in_parts}")
        jobs += [(whole.run_id, whole), (f"{strategy}-resumed", resumed), (parts.run_id, parts)]
    for before, after in CROSSINGS:
        crossed = workshop.job(f"{before}-whole", tools.a_recipe(strategy=after), epoch=3)
        crossed = dataclasses.replace(crossed, resume_from=workshop.checkpoint(crossed.run_id, 8))
        jobs.append((f"{before}-to-{after}", crossed))
    alone = tools.run_alone(workshop.job("alone", tools.a_recipe(strategy="fsdp")))
    grown = workshop.job("alone", tools.a_recipe(strategy="fsdp"), epoch=2)
    jobs.append(("one-to-two", dataclasses.replace(grown, resume_from=workshop.checkpoint("alone", 8))))
    for adapter in ADAPTERS:
        tuned = workshop.job(adapter, _finetune(workshop, tools, adapter))
        resumed = dataclasses.replace(tuned, epoch=2, resume_from=workshop.checkpoint(adapter, 8))
        jobs += [(adapter, tuned), (f"{adapter}-resumed", resumed)]
    reports = tools.run_on_ranks([job for _, job in jobs], 2, workshop.root / "ranks")
    return dict(zip([name for name, _ in jobs], reports, strict=True)) | {"alone": alone}


def _finetune(workshop, tools, adapter):
    base = str(workshop.checkpoint("alone", 12))
    if adapter == "lora":  # of an import, which no checkpoint repeats; the other of a folder, which may change
        imported = shutil.copytree(base, workshop.root / "imported", ignore=shutil.ignore_patterns("manifest.json"))
        workshop.objects.publish(imported, f"bases/{CONTENT}", {})
        base = f"mine@{CONTENT}"
    return tools.a_recipe(strategy="fsdp", mode="finetune", base_model=base, adapter=adapter)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_repeats_the_uninterrupted_one_bit_for_bit(runs, shared_workshop, tools, strategy):
    whole, resumed = tools.losses(runs[f"{strategy}-whole"]), tools.losses(runs[f"{strategy}-resumed"])
    assert list(resumed) == list(range(4, 12))
    assert {step: loss.hex() for step, loss in whole.items() if step >= 4} == {
        step: loss.hex() for step, loss in resumed.items()
    }
    first = load_file(shared_workshop.checkpoint(f"{strategy}-whole", 12) / "model.safetensors")
    second = load_file(shared_workshop.checkpoint(f"{strategy}-whole", 12, epoch=2) / "model.safetensors")
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns(runs, tools, strategy):
    losses = tools.losses(runs[f"{strategy}-whole"])
    assert losses[11] < losses[0] - 0.1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_in_several_parts_takes_the_same_steps(runs, tools, strategy):
    parts = tools.losses(runs[f"{strategy}{tools.in_parts}"])
    assert parts == pytest.approx(tools.losses(runs[f"{strategy}-whole"]), rel=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_every_strategy_takes_the_steps_of_ddp(runs, tools, strategy):
    assert tools.losses(runs["ddp-whole"]) == pytest.approx(tools.losses(runs[f"{strategy}-whole"]), rel=1e-5)


@pytest.mark.parametrize(("before", "after"), CROSSINGS)
def test_a_checkpoint_of_one_strategy_goes_on_in_another(runs, tools, before, after):
    crossed, whole = tools.losses(runs[f"{before}-to-{after}"]), tools.losses(runs[f"{before}-whole"])
    assert list(crossed) == [8, 9, 10, 11]
    assert crossed == pytest.approx({step: whole[step] for step in crossed}, rel=1e-5)


def test_a_checkpoint_of_one_rank_goes_on_on_two(runs, tools):
    grown, whole = tools.losses(runs["one-to-two"]), tools.losses(runs["fsdp-whole"])
    assert runs["one-to-two"][0].resumed_checkpoint_id == "alone-1-8"
    assert grown == pytest.approx({step: whole[step] for step in grown}, rel=1e-4)


def test_one_rank_takes_the_same_steps_as_two(runs, tools):
    alone = {row.step: row.loss for report in runs["alone"] if isinstance(report, StepsDone) for row in report.rows}
    assert alone == pytest.approx(tools.losses(runs["fsdp-whole"]), rel=1e-4)


def test_the_ledger_of_two_ranks_is_the_sample_order(runs, shared_workshop):
    order = SampleOrder("d" * 64, 17, 40)
    rows = []
    for step in (4, 8, 12):
        folder = shared_workshop.checkpoint("fsdp-whole", step)
        verify(folder)
        rows += [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert rows == [{"step": step, "samples": order.samples(step, 5)} for step in range(12)]


def test_the_group_reports_the_processes_of_its_ranks(runs):
    started = runs["ddp-whole"][0]
    assert isinstance(started, Started)
    assert len(set(started.worker_pids)) == 2


def test_adapters_on_an_import_are_all_that_a_checkpoint_holds_and_give_merged_weights_with_it(runs, shared_workshop):
    base = load_file(shared_workshop.checkpoint("alone", 12) / "model.safetensors")
    folder = shared_workshop.checkpoint("lora", 12)
    assert not (folder / "model.safetensors").exists()
    tuned = checkpoint_weights(folder, shared_workshop.objects.fetch(f"bases/{CONTENT}"))
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert tuned.keys() == base.keys()
    assert tuned["model.embed_tokens.weight"].equal(base["model.embed_tokens.weight"])
    name = "model.layers.0.self_attn.q_proj"
    down, up = (adapter[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    assert up.abs().max() > 0
    torch.testing.assert_close(tuned[f"{name}.weight"], base[f"{name}.weight"] + 2 * up @ down)


def test_the_lengths_of_rows_move_too_under_dora_and_are_merged(runs, shared_workshop):
    base = load_file(shared_workshop.checkpoint("alone", 12) / "model.safetensors")
    folder = shared_workshop.checkpoint("dora", 12)
    tuned, adapter = (load_file(folder / name) for name in ("model.safetensors", "adapter/adapter_model.safetensors"))
    name = "model.layers.1.mlp.down_proj"
    parts = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")
    down, up, lengths = (adapter[f"base_model.model.{name}.{part}"] for part in parts)
    assert not torch.allclose(lengths, base[f"{name}.weight"].norm(dim=1), atol=1e-5)
    sums = base[f"{name}.weight"] + 2 * up @ down
    torch.testing.assert_close(tuned[f"{name}.weight"], sums * (lengths / sums.norm(dim=1))[:, None])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_resumed_adapter_run_repeats_the_uninterrupted_one_bit_for_bit(runs, tools, adapter):
    whole, resumed = tools.losses(runs[adapter]), tools.losses(runs[f"{adapter}-resumed"])
    assert list(resumed) == list(range(8, 12))
    assert resumed == {step: whole[step] for step in resumed}
