"""Greedy tokens of one model on all its ways: import, adapter, merge, GGUF. Float32, 64 prompts. Prints JSON.

    python benchmarks/finetune/certificates.py MODEL.gguf WORK > benchmarks/results/finetune_certificates.json

Every line compares answers with those of transformers on a folder; where the two best tokens lie closer than float32's
own noise, the difference is a tie and counted. The adapter is random, large enough that most answers change. What was
answered is kept in the folder WORK, so that the work may be ended and begun again.
"""

import argparse
import gc
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.model.importing.certificate import (
    differences,
    encoded_prompts,
    engine_tokens,
    is_tie,
    reference_tokens,
)
from ropewalk.model.importing.gguf_writing import write_gguf
from ropewalk.model.importing.loading import write_folder
from ropewalk.model.importing.source import ModelSource
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, load_tensors, save_weights

RANK, ALPHA, SPREAD = 16, 32, 0.02
Tokens = list[list[int]]


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


def as_transformers_reads(file: Path, like: Path) -> PreTrainedModel:
    """A GGUF file by transformers alone. It may end an answer where the folder does: GGUF has room for one token."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32
    ).eval()
    model.generation_config.eos_token_id = load_model(like).generation_config.eos_token_id
    return model


def written(folder: Path, file: Path, *, eight_bits: bool) -> Path:
    """The folder as a GGUF file, unless that is there."""
    if not file.exists():
        half = file.with_suffix(".half")
        write_gguf(folder, half, name="model", licence="apache-2.0", eight_bits=eight_bits)
        half.rename(file)
    return file


def logits_apart(one: Any, other: Any, prompts: Tokens) -> dict[str, float]:
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


class Work:
    """The folders, and every answer that was given."""

    def __init__(self, file: Path, place: Path) -> None:
        self.place, self.base, self.export = place, place / "base", place / "export"
        place.mkdir(exist_ok=True)
        if not self.base.exists():
            with tempfile.TemporaryDirectory(dir=place) as half:
                made = Path(half, "base")
                made.mkdir()
                write_folder(ModelSource("gguf", str(file)), "", made, lambda _: None)
                an_adapted(made, Path(half, "export"))
                Path(half, "export").rename(self.export)
                made.rename(self.base)
        self.prompts = self.kept("prompts", lambda: encoded_prompts(self.base))

    def kept(self, name: str, answer: Callable[[], Any]) -> Any:
        path = self.place / f"{name}.json"
        if not path.exists():
            print(name, file=sys.stderr, flush=True)
            path.write_text(json.dumps(answer()))
            gc.collect()
        return json.loads(path.read_text())

    def said(self, name: str, model: Callable[[], Any]) -> Tokens:
        """Greedy tokens by transformers."""
        found: Tokens = self.kept(name, lambda: reference_tokens(model(), self.prompts))
        return found

    def compared(self, folder: Path, reference: Tokens, said: Tokens) -> dict[str, int]:
        wrong = differences(reference, said)
        ties = 0
        if wrong:
            model = load_model(folder)
            ties = sum(is_tie(model, self.prompts[one.prompt], reference[one.prompt], one) for one in wrong)
        return {
            "num_prompts": len(reference),
            "num_tokens": sum(map(len, reference)),
            "num_equal": len(reference) - len(wrong),
            "num_ties": ties,
        }


def imported(work: Work, file: Path, plain: Tokens) -> dict[str, Any]:
    """Both readings of the GGUF file beside transformers on the folder that the import wrote."""
    base = work.base
    return {
        "our decoder": work.compared(base, plain, work.kept("engine", lambda: engine_tokens(base, work.prompts))),
        "transformers on the GGUF": work.compared(
            base, plain, work.said("gguf", lambda: as_transformers_reads(file, base))
        ),
    }


def adapted(work: Work, plain: Tokens, whole: Tokens) -> dict[str, Any]:
    """Adapter and base, in our decoder and in peft, beside transformers on the merged folder."""
    base, export, prompts = work.base, work.export, work.prompts

    def peft() -> Any:
        return PeftModel.from_pretrained(load_model(base), str(export / "adapter")).eval()

    said = {
        "our decoder, adapter on base": work.kept("engine-adapter", lambda: engine_tokens(export, prompts, base)),
        "our decoder, merged": work.kept("engine-merged", lambda: engine_tokens(export, prompts)),
        "peft, adapter on base": work.said("peft", peft),
    }
    return {
        "rank": RANK,
        "alpha": ALPHA,
        "answers_changed_by_it": len(differences(plain, whole)),
        **{name: work.compared(export, whole, tokens) for name, tokens in said.items()},
        "logits, peft beside merged": work.kept("logits", lambda: logits_apart(peft(), load_model(export), prompts)),
        "largest_weight_difference_after_unmerging": unmerged(base, export),
    }


def again(work: Work, folder: Path, reference: Tokens, *, eight_bits: bool) -> dict[str, int]:
    """A folder that we wrote as GGUF, as transformers reads that."""
    name = f"{folder.name}-{'q8' if eight_bits else 'float32'}"

    def read() -> PreTrainedModel:
        return as_transformers_reads(written(folder, work.place / f"{name}.gguf", eight_bits=eight_bits), folder)

    return work.compared(folder, reference, work.said(f"again-{name}", read))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    file = given.file.absolute()
    work = Work(file, given.work.absolute())
    plain = work.said("base", lambda: load_model(work.base))
    result = {
        "import, beside transformers on the folder": imported(work, file, plain),
        "written as GGUF, read by transformers": {"float32": again(work, work.base, plain, eight_bits=False)},
    }
    whole = work.said("merged", lambda: load_model(work.export))
    result["adapter, beside transformers on the merged folder"] = adapted(work, plain, whole)
    result["written as GGUF, read by transformers"] |= {
        "merged, float32": again(work, work.export, whole, eight_bits=False),
        "Q8_0": again(work, work.base, plain, eight_bits=True),
    }
    print(json.dumps({"machine": describe(), "model": file.name, "dtype": "float32", **result}, indent=1))


if __name__ == "__main__":
    main()
