"""What a recipe's device and precision mean on a machine, and copies that outlive the next update."""

import pytest
import torch

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.trainer.adapters.worker.device import Device, HostCopies, choose_device


def a_recipe(**changes: object) -> Recipe:
    recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),))
    return complete(recipe.model_copy(update=changes))


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are GPUs of a capability; nothing is computed on them."""

    def pretend(count: int, capability: tuple[int, int] = (9, 0)) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    return pretend


def test_a_recipe_computes_on_the_cpu_in_fp32_if_it_says_nothing(gpus):
    gpus(2)
    device = choose_device(a_recipe(), 0)
    assert (device.kind, device.precision, device.backend, device.remark) == ("cpu", "fp32", "gloo", "")
    assert device.description == "CPU, fp32"


def test_a_gpu_that_is_asked_for_and_missing_is_said_in_one_sentence(gpus):
    gpus(0)
    device = choose_device(a_recipe(device="cuda"), 0)
    assert device.kind == "cpu"
    assert device.description == (
        "CPU, fp32 (the recipe asks for a GPU in bf16 and there is none: training on the CPU)"
    )


def test_gpus_are_taken_by_rank_and_compute_in_bf16(gpus):
    gpus(2)
    devices = [choose_device(a_recipe(device="cuda"), rank) for rank in range(3)]
    assert [device.index for device in devices] == [0, 1, 0]
    assert {(device.kind, device.precision, device.dtype) for device in devices} == {("cuda", "bf16", torch.bfloat16)}
    assert devices[0].backend == "cpu:gloo,cuda:nccl"


def test_fp8_needs_a_card_that_multiplies_it(gpus):
    gpus(1, capability=(8, 0))
    assert choose_device(a_recipe(device="cuda", precision="fp8"), 0).precision == "bf16"
    gpus(1)
    assert choose_device(a_recipe(device="cuda", precision="fp8"), 0).precision == "fp8"


def test_a_copy_of_a_live_tensor_does_not_follow_its_changes():
    copies = HostCopies(Device(kind="cpu"))
    tensor = torch.ones(3)
    taken, wait = copies.take({"a": tensor}, live=True)
    tensor.add_(1)
    wait()
    assert taken["a"].tolist() == [1, 1, 1]


def test_a_tensor_that_changes_no_more_is_not_copied_on_a_cpu():
    tensor = torch.ones(3)
    taken, _ = HostCopies(Device(kind="cpu")).take({"a": tensor}, live=False)
    assert taken["a"] is tensor
