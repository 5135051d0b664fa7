"""Adapters: what moves, what merges, what peft reads."""

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ropewalk.model.adapted import Matrix, adapted_products
from ropewalk.model.architecture import build_model
from ropewalk.model.lora import (
    adapter_file,
    adapter_weights,
    add_adapters,
    is_adapter,
    lora_config,
    merged,
    save_adapter,
)
from ropewalk.model.weights import load_model, load_tensors, save_weights

MATRIX = "model.layers.0.mlp.up_proj"
IDS = torch.arange(1, 11)[None]


@pytest.fixture
def adapted(lively_model):
    model = add_adapters(lively_model, lora_config(rank=4), seed=3)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 0.1)
    return model


def test_fresh_adapters_change_no_prediction_and_alone_are_trainable(lively_model):
    before = lively_model(input_ids=IDS).logits
    adapted = add_adapters(lively_model, lora_config(), seed=3)
    assert adapted(input_ids=IDS).logits.equal(before)
    trainable = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in adapted.named_parameters() if is_adapter(name)}
    assert len(trainable) == 2 * 7 * 2


def test_adapters_are_equal_for_equal_seeds(shape):
    first, again, other = (
        dict(add_adapters(build_model(shape, 1), lora_config(), seed=seed).named_parameters()) for seed in (3, 3, 4)
    )
    name = "model.layers.1.mlp.up_proj.lora_A.default.weight"
    assert first[name].equal(again[name])
    assert not first[name].equal(other[name])


def test_merged_weights_predict_as_the_model_with_adapters(adapted, shape):
    plain = build_model(shape, 1).eval()
    plain.load_state_dict(merged(dict(adapted.named_parameters()), lora_config(rank=4)))
    torch.testing.assert_close(plain(input_ids=IDS).logits, adapted(input_ids=IDS).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft calls the old name
def test_peft_reads_the_saved_adapter(adapted, tmp_path):
    weights = dict(adapted.named_parameters())
    base = {name.replace(".base_layer", ""): tensor for name, tensor in weights.items() if not is_adapter(name)}
    save_weights(base, adapted.config, tmp_path / "base")
    save_adapter(weights, lora_config(rank=4), tmp_path)
    theirs = PeftModel.from_pretrained(load_model(tmp_path / "base"), tmp_path / "adapter")
    torch.testing.assert_close(theirs(input_ids=IDS).logits, adapted(input_ids=IDS).logits, atol=1e-5, rtol=1e-5)
    targets = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets)  # so that a checkpoint that is written again has the same bytes
    assert len(targets) == 7
    saved = adapter_weights(load_tensors(adapter_file(tmp_path)))
    assert saved.keys() == {name for name in weights if is_adapter(name)}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft calls the old name
def test_a_folder_with_merged_weights_and_its_adapter_is_one_model_to_all_who_load_it(adapted, tmp_path):
    weights, config = dict(adapted.named_parameters()), lora_config(rank=4)
    expected = adapted(input_ids=IDS).logits
    base = {name.replace(".base_layer", ""): tensor for name, tensor in weights.items() if not is_adapter(name)}
    save_weights(base, adapted.config, tmp_path / "base")
    save_weights(merged(weights, config), adapted.config, tmp_path / "checkpoint")
    save_adapter(weights, config, tmp_path / "checkpoint")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    again = load_model(tmp_path / "checkpoint")
    with_peft = PeftModel.from_pretrained(load_model(tmp_path / "base"), tmp_path / "checkpoint", subfolder="adapter")
    for model in (plain, again, with_peft):
        torch.testing.assert_close(model(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_checkpoint_of_the_release_before_does_not_get_its_adapter_twice(adapted, tmp_path):
    weights, config = dict(adapted.named_parameters()), lora_config(rank=4)
    save_weights(merged(weights, config), adapted.config, tmp_path)
    save_adapter(weights, config, tmp_path)
    for file in (tmp_path / "adapter").iterdir():
        file.rename(tmp_path / file.name)
    torch.testing.assert_close(
        load_model(tmp_path)(input_ids=IDS).logits, adapted(input_ids=IDS).logits, atol=1e-4, rtol=1e-4
    )
    assert adapter_file(tmp_path).is_file()


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft calls the old name
def test_merged_is_what_peft_merges_and_its_unmerging_gives_the_base_back(lively_model, tmp_path, dora):
    config = lora_config(rank=4, dora=dora)
    save_weights(dict(lively_model.named_parameters()), lively_model.config, tmp_path / "base")
    model = add_adapters(lively_model, config, seed=3)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 0.1)
            elif is_adapter(name) and ".lora_A." not in name:
                parameter.mul_(torch.rand_like(parameter) + 0.5)  # the lengths of DoRA's rows
    ours = merged(dict(model.named_parameters()), config)
    save_adapter(dict(model.named_parameters()), config, tmp_path)
    base = load_model(tmp_path / "base").state_dict()
    theirs = PeftModel.from_pretrained(load_model(tmp_path / "base"), tmp_path / "adapter")
    theirs.merge_adapter()
    theirs.unmerge_adapter()
    unmerged = {name: tensor.clone() for name, tensor in theirs.get_base_model().named_parameters()}
    plain = theirs.merge_and_unload().state_dict()
    assert ours.keys() <= plain.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(plain[name], tensor, atol=1e-6, rtol=1e-6)
        own = unmerged.get(name, unmerged.get(name.replace(".weight", ".base_layer.weight")))
        torch.testing.assert_close(own, base[name], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(ours[f"{MATRIX}.weight"], base[f"{MATRIX}.weight"], atol=1e-2)


def test_a_row_of_zeros_makes_no_number_infinite_under_dora():
    row = torch.zeros(2, 3)
    row[1] = 1.0
    matrix = Matrix(row, torch.ones(1, 3), torch.zeros(2, 1), 2.0, torch.tensor([0.0, 3**0.5]))
    (product,) = adapted_products(torch.ones(1, 1, 3), [matrix])
    torch.testing.assert_close(product, torch.tensor([[[0.0, 3.0]]]))
