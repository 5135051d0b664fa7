"""Greedy tokens of one model on all its ways: import, adapter, merge, GGUF. Float32, 64 prompts. Prints JSON.

    python benchmarks/finetune/certificates.py MODEL.gguf > benchmarks/results/finetune_certificates.json

Every line compares answers with those of transformers on the folder that is named first; where the two best tokens lie
closer than float32's own noise, the difference is a tie and counted. The adapter is random, large enough that most
answers change.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.client.exporting import GgufWork, write_and_read_back
from ropewalk.model.importing.certificate import (
    certify,
    compared,
    differences,
    encoded_prompts,
    engine_tokens,
    reference_tokens,
)
from ropewalk.model.importing.loading import write_folder
from ropewalk.model.importing.source import ModelSource
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, load_tensors, save_weights

RANK, ALPHA, SPREAD = 16, 32, 0.02
Prompts = Sequence[list[int]]


def quiet(_: str) -> None:
    """Nobody watches."""


def an_adapted(base: Path, export: Path) -> None:
    """An export as a run makes it: merged weights, tokenizer, and the adapter beside them."""
    config = lora_config(RANK, ALPHA)
    config.base_model_name_or_path = str(base)
    model = add_adapters(load_model(base), config, seed=1)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data.normal_(0.0, SPREAD)
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    shutil.copytree(base, export, ignore=shutil.ignore_patterns("*.safetensors"))
    save_adapter(weights, config, export)
    save_weights(merged(weights, config), model.config, export)


def logits_apart(one: Any, other: Any, prompts: Prompts) -> dict[str, float]:
    """The largest difference of any logit at any place of the prompts, and the largest logit."""
    apart = most = 0.0
    for prompt in prompts:
        with torch.inference_mode():
            a, b = (model(input_ids=torch.tensor([prompt])).logits for model in (one, other))
        apart, most = max(apart, float((a - b).abs().max())), max(most, float(a.abs().max()))
    return {"largest_difference": apart, "largest_logit": most}


def unmerged(base: Path, export: Path) -> float:
    """The largest difference between a weight of the base and the merged one without what the adapter adds."""
    plain, whole = (load_tensors(folder / "model.safetensors") for folder in (base, export))
    added = load_tensors(export / "adapter" / "adapter_model.safetensors")
    apart = 0.0
    for name, tensor in whole.items():
        down, up = (
            added.get(f"base_model.model.{name.removesuffix('.weight')}.lora_{kind}.weight") for kind in ("A", "B")
        )
        rest = tensor if down is None or up is None else tensor - ALPHA / RANK * (up @ down)
        apart = max(apart, float((rest - plain[name]).abs().max()))
    return apart


def imported(file: Path, folder: Path, prompts: Prompts) -> dict[str, Any]:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32
    ).eval()
    model.generation_config.eos_token_id = load_model(folder).generation_config.eos_token_id
    ours = load_model(folder)
    theirs, own = model.state_dict(), ours.state_dict()
    return {
        "our decoder on the folder": certify(folder, quiet),
        "transformers on the GGUF itself": compared(ours, prompts, reference_tokens(model, prompts))[0],
        "weights_equal": all(torch.equal(theirs[name], tensor) for name, tensor in own.items()),
    }


def merging(base: Path, export: Path, prompts: Prompts) -> dict[str, Any]:
    whole, plain = load_model(export), load_model(base)
    before = reference_tokens(plain, prompts)
    apart = PeftModel.from_pretrained(plain, str(export / "adapter")).eval()
    said = {
        "peft, adapter on base": reference_tokens(apart, prompts),
        "our decoder, adapter on base": engine_tokens(export, prompts, base),
        "our decoder, merged": engine_tokens(export, prompts),
    }
    return {
        "answers_changed_by_the_adapter": len(differences(before, reference_tokens(whole, prompts))),
        **{name: compared(whole, prompts, tokens)[0] for name, tokens in said.items()},
        "logits, peft beside merged": logits_apart(apart, whole, prompts),
        "largest_weight_difference_after_unmerging": unmerged(base, export),
    }


def round_trip(folder: Path, *, eight_bits: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        work = GgufWork(folder=folder, scratch=Path(scratch), name="model", licence="apache-2.0", eight_bits=eight_bits)
        found = write_and_read_back(work, quiet)
        return {**found, "file_mb": (work.scratch / "model.gguf").stat().st_size // 1_000_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file.absolute()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        base, export = scratch / "base", scratch / "export"
        base.mkdir()
        write_folder(ModelSource("gguf", str(file)), "", base, quiet)
        prompts = encoded_prompts(base)
        an_adapted(base, export)
        result = {
            "import": imported(file, base, prompts),
            "merge": {"rank": RANK, "alpha": ALPHA, **merging(base, export, prompts)},
            "gguf": {
                "base, float32": round_trip(base, eight_bits=False),
                "merged, float32": round_trip(export, eight_bits=False),
                "base, Q8_0": round_trip(base, eight_bits=True),
            },
        }
    print(json.dumps({"machine": describe(), "model": file.name, **result}, indent=1))


if __name__ == "__main__":
    main()
