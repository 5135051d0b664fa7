"""Four real gloo processes: replicas of a sliced model, adapters and bf16 under slices. Slow: four imports of torch."""

import dataclasses

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(shared_workshop, tools):
    """Maps a run's id to its reports."""
    workshop = shared_workshop
    base = workshop.job("base4", tools.a_recipe(strategy="ddp"))
    hybrid = workshop.job("hybrid", tools.a_recipe(strategy="fsdp", replicas=2, num_workers=4))
    resumed = dataclasses.replace(hybrid, epoch=2, resume_from=workshop.checkpoint("hybrid", 8))
    crossed = workshop.job("hybrid", tools.a_recipe(strategy="zero3"), epoch=3)
    jobs = [
        ("ddp", base),
        ("hybrid", hybrid),
        ("hybrid-resumed", resumed),
        ("hybrid-to-zero3", dataclasses.replace(crossed, resume_from=workshop.checkpoint("hybrid", 8))),
    ]
    tune = {"mode": "finetune", "base_model": str(workshop.checkpoint("base4", 12)), "adapter": "lora"}
    bf16 = tools.a_plan(precision="bf16")
    for strategy in ("ddp", "fsdp", "zero2", "zero3"):
        jobs.append((f"lora-{strategy}", workshop.job(f"lora-{strategy}", tools.a_recipe(strategy=strategy, **tune))))
        jobs.append((f"bf16-{strategy}", workshop.job(f"bf16-{strategy}", tools.a_recipe(bf16, strategy=strategy))))
    reports = tools.run_on_ranks([job for _, job in jobs], 4, workshop.root / "four", patience_s=300)
    return dict(zip([name for name, _ in jobs], reports, strict=True))


def test_replicas_of_slices_take_the_steps_of_whole_models(runs, tools):
    assert tools.losses(runs["hybrid"]) == pytest.approx(tools.losses(runs["ddp"]), rel=1e-5)


@pytest.mark.parametrize(("name", "rel"), [("hybrid-resumed", 0), ("hybrid-to-zero3", 1e-5)])
def test_a_checkpoint_of_replicas_goes_on(runs, tools, name, rel):
    whole, resumed = tools.losses(runs["hybrid"]), tools.losses(runs[name])
    assert list(resumed) == [8, 9, 10, 11]
    assert resumed == pytest.approx({step: whole[step] for step in resumed}, rel=rel)


@pytest.mark.parametrize("strategy", ["fsdp", "zero2", "zero3"])
@pytest.mark.parametrize(("what", "rel"), [("lora", 1e-5), ("bf16", 1e-2)])
def test_slices_change_neither_adapters_nor_bf16(runs, tools, what, rel, strategy):
    assert tools.losses(runs[f"{what}-{strategy}"]) == pytest.approx(tools.losses(runs[f"{what}-ddp"]), rel=rel)
