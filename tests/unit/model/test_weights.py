"""Folders on disk and the reference decoding."""

import json
import resource

import pytest
import torch

from ropewalk.model.weights import greedy_tokens, load_model, load_tensors, save_tensors, save_weights


def test_greedy_decoding_takes_the_most_probable_token_each_time(lively_model):
    ids = [4, 8, 15]
    expected = list(ids)
    for _ in range(6):
        expected.append(int(lively_model(input_ids=torch.tensor([expected])).logits[0, -1].argmax()))
    assert greedy_tokens(lively_model, ids, 6) == expected[3:]


def test_greedy_decoding_agrees_with_transformers_generate(lively_model):
    ids = torch.tensor([[4, 8, 15]])
    generated = lively_model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert greedy_tokens(lively_model, ids[0].tolist(), 8) == generated[0, 3:].tolist()


def test_decoding_stops_at_the_end_token_and_at_the_context(lively_model):
    free = greedy_tokens(lively_model, [4, 8, 15], 100)
    assert len(free) == 16 - 3
    stopped = greedy_tokens(lively_model, [4, 8, 15], 100, eos_id=free[2])
    assert stopped == free[: free.index(free[2]) + 1]


def test_a_saved_model_loads_bit_for_bit(lively_model, tmp_path):
    save_weights(dict(lively_model.named_parameters()), lively_model.config, tmp_path)
    loaded = dict(load_model(tmp_path).named_parameters())
    assert all(loaded[name].equal(parameter) for name, parameter in lively_model.named_parameters())


def test_damaged_weights_are_a_value_error_that_names_the_folder(lively_model, tmp_path):
    save_weights(dict(lively_model.named_parameters()), lively_model.config, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"the weights in {tmp_path} are damaged"):
        load_model(tmp_path)


def test_weights_of_another_config_are_a_value_error(lively_model, tmp_path):
    save_weights(dict(lively_model.named_parameters()), lively_model.config, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 2 * config["hidden_size"]}))
    with pytest.raises(ValueError, match=r"belong to another config\.json"):
        load_model(tmp_path)


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    save_tensors({"rows": base[1:], "turned": base.T}, tmp_path / "t.safetensors")
    loaded = load_tensors(tmp_path / "t.safetensors")
    assert loaded["rows"].equal(base[1:])
    assert loaded["turned"].equal(base.T)


def test_a_full_disk_is_an_os_error(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError, match=r"t\.safetensors"):
            save_tensors({"big": torch.zeros(10_000)}, tmp_path / "t.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        load_model(tmp_path)
