"""An adapter that is added at run time says what the merged model says."""

import json
from pathlib import Path

import pytest
import torch
from parts.small_engines import a_llama, a_qwen3, an_export, complete, prompts

from ropewalk.model.adapter_files import base_content, read_config
from ropewalk.model.engine import Engine
from ropewalk.model.engine_forward import SlotDecoder
from ropewalk.model.engine_weights import read_architecture, read_weights
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, save_weights

CONTENT = "a" * 64


@pytest.mark.parametrize(("make", "targets"), [(a_qwen3, ["q_proj", "v_proj"]), (a_llama, None)])
def test_base_and_adapter_are_the_merged_model(make, targets, tmp_path: Path) -> None:
    base, export = tmp_path / "base", tmp_path / "export"
    an_export(base, make())
    plain = {name: tensor.clone() for name, tensor in load_model(base).state_dict().items()}
    config = lora_config(4, 8, *([targets] if targets else []))
    config.base_model_name_or_path = f"tiny@{CONTENT}"
    model = add_adapters(load_model(base), config, seed=1)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data.normal_(0.0, 0.2)
    weights = merged(model.state_dict(), config)
    an_export(export, make())
    apart = {name: tensor.clone() for name, tensor in weights.items()}  # a tied head shares memory
    save_weights(apart, load_model(base).config, export)
    save_adapter(model.state_dict(), config, export)
    assert base_content(read_config(export)) == CONTENT
    shape = read_architecture(export)
    one, other = (SlotDecoder(shape, read_weights(*where), 1) for where in ((export, shape), (base, shape, export)))
    for prompt in prompts():
        assert torch.allclose(one.prefill(0, prompt), other.prefill(0, prompt), atol=1e-4)
    engines = [Engine(export, num_slots=4), Engine(export, num_slots=4, base=base)]
    for engine in engines:
        engine.start()
    answers = [[complete(engine, p, max_tokens=16).wait().tokens for p in prompts()] for engine in engines]
    assert answers[0] == answers[1]
    low = read_weights(base, shape, export).layers[0].qkv
    assert low.down is not None
    assert low.up is not None
    rows = torch.cat([weights[f"model.layers.0.self_attn.{n}_proj.weight"] for n in "qkv"])
    before = torch.cat([plain[f"model.layers.0.self_attn.{n}_proj.weight"] for n in "qkv"])
    assert torch.allclose(rows - low.up @ low.down, before, atol=1e-6)
    assert not torch.allclose(rows, before, atol=1e-2)
    for engine in engines:
        engine.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True},
        {"r": 65},
        {"bias": "all"},
        {"rank_pattern": {"q_proj": 2}},
        {"base_model_name_or_path": "/folder"},
        {"r": "8"},
    ],
)
def test_an_adapter_that_is_more_than_two_matrices_is_served_merged(change: dict, tmp_path: Path) -> None:
    config = {"r": 8, "lora_alpha": 16, "base_model_name_or_path": f"tiny@{CONTENT}"}
    assert base_content(config) == CONTENT
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | change))
    assert base_content(read_config(tmp_path)) == ""
    assert base_content(read_config(tmp_path / "nothing")) == ""
