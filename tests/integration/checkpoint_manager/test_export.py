import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ropewalk.checkpoint_manager.adapters.export import load_strictly
from ropewalk.checkpoint_manager.handlers import export_checkpoint
from ropewalk.events.checkpoint import CheckpointExported, CheckpointQuarantined
from ropewalk.events.training import TrainingCompleted
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, load_tensors, save_tensors
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import seal, verify

FINAL = TrainingCompleted(
    run_id="r", checkpoint_id="r-7-40", uri="runs/r/checkpoints/7-40", step=40, loss=1.0, tokens=1, seconds=1.0
)


async def test_an_export_is_a_folder_that_transformers_loads_as_it_is(stage) -> None:
    (exported,) = await export_checkpoint(stage, FINAL)
    assert isinstance(exported, CheckpointExported)
    folder = stage.objects.fetch(exported.uri)
    manifest = verify(folder)
    assert (exported.manifest_sha256, exported.num_bytes) == (manifest.sha256, manifest.num_bytes)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert exported.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    weights = load_tensors(stage.objects.fetch(FINAL.uri) / "model.safetensors")
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("def f(self)").input_ids) == "def f(self)"
    card = (folder / "README.md").read_text()
    assert "Dataset version `v`" in card
    assert "Evaluation" not in card
    generation = json.loads((folder / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (0, 0)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]


async def test_an_adapter_on_an_import_is_exported_merged_though_its_checkpoint_leaves_the_weights_out(
    stage, tmp_path
) -> None:
    content, config = "c" * 64, lora_config(rank=2)
    whole = stage.objects.fetch(FINAL.uri)
    base = shutil.copytree(whole, tmp_path / "base", ignore=shutil.ignore_patterns("manifest.json"))
    stage.objects.publish(base, f"bases/{content}", {})
    adapted = dict(add_adapters(load_model(stage.objects.fetch(f"bases/{content}")), config, seed=1).named_parameters())
    for name, tensor in adapted.items():
        tensor.data += 0.1 * is_adapter(name)
    config.base_model_name_or_path = f"mine@{content}"
    save_adapter(adapted, config, tmp_path / "small")
    shutil.copyfile(stage.objects.fetch(f"bases/{content}") / "config.json", tmp_path / "small" / "config.json")
    stage.objects.delete(FINAL.uri)
    stage.objects.publish(tmp_path / "small", FINAL.uri, {"checkpoint_id": FINAL.checkpoint_id})
    changes = {"mode": "finetune", "adapter": "lora", "base_model": f"mine@{content}"}
    stage.recipe = stage.recipe.model_copy(update=changes)
    (exported,) = await export_checkpoint(stage, FINAL)
    state = load_model(stage.objects.fetch(exported.uri)).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in merged(adapted, config).items())


async def test_exporting_again_gives_the_same_folder(stage) -> None:
    first = await export_checkpoint(stage, FINAL)
    assert await export_checkpoint(stage, FINAL) == first


async def test_a_final_checkpoint_that_does_not_verify_is_quarantined_and_not_exported(stage) -> None:
    (stage.objects.fetch(FINAL.uri) / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(StageError, match=r"final checkpoint r-7-40 does not verify \(model.safetensors has 6 bytes"):
        await export_checkpoint(stage, FINAL)
    (quarantined,) = stage.emitted
    assert isinstance(quarantined, CheckpointQuarantined)
    assert stage.objects.exists(quarantined.uri)
    with pytest.raises(StageError, match="does not verify"):
        await export_checkpoint(stage, FINAL)
    assert len(stage.emitted) == 1
    assert not stage.objects.exists("exports/r-7-40")


async def test_a_broken_export_is_made_again(stage) -> None:
    (exported,) = await export_checkpoint(stage, FINAL)
    (stage.objects.fetch(exported.uri) / "config.json").write_text("{}")
    assert await export_checkpoint(stage, FINAL) == (exported,)
    verify(stage.objects.fetch(exported.uri))


@pytest.mark.parametrize("change", ["missing", "left over", "another shape"])
def test_weights_that_do_not_fit_the_config_are_refused(stage, tmp_path, change: str) -> None:
    folder = stage.objects.fetch(FINAL.uri)
    weights = load_tensors(folder / "model.safetensors")
    name = "model.norm.weight"
    match change:
        case "missing":
            del weights[name]
        case "left over":
            weights["model.extra.weight"] = torch.ones(2)
        case "another shape":
            weights[name] = torch.ones(7)
    save_tensors(weights, folder / "model.safetensors")
    seal(folder, {})
    with pytest.raises(StageError, match=r"weights do not fit its config\.json.*(norm|extra)"):
        load_strictly(folder)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
async def test_weights_that_are_not_finite_are_never_exported(stage, value: float) -> None:
    folder = stage.objects.fetch(FINAL.uri)
    weights = load_tensors(folder / "model.safetensors")
    weights["model.norm.weight"][3] = value
    save_tensors(weights, folder / "model.safetensors")
    seal(folder, {})
    with pytest.raises(StageError, match=r"its weights model\.norm\.weight are not finite"):
        await export_checkpoint(stage, FINAL)
    assert not stage.objects.exists("exports/r-7-40")
