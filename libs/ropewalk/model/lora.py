"""Low-rank adapters through peft: put them in, merge them into plain weights, take them out again.

LoRA (arXiv 2106.09685) adds a small product to a matrix; DoRA (arXiv 2402.09353) also learns the length of its rows.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from transformers import PreTrainedModel

from ropewalk.model.adapted import Matrix, row_lengths
from ropewalk.model.architecture import generator_of
from ropewalk.model.weights import WEIGHTS, load_model, load_tensors, save_tensors

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
ADAPTER_FOLDER = "adapter"  # not beside merged weights, to which transformers would apply it once more
_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_PEFT_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.default.weight", ".lora_B.default.weight"
_MAGNITUDE = ".lora_magnitude_vector.default.weight"
_PEFT_MAGNITUDE = ".lora_magnitude_vector"  # what peft calls it in a file
_PARTS = (".lora_A.", ".lora_B.", _PEFT_MAGNITUDE)


def lora_config(rank: int = 8, alpha: int = 16, targets: Sequence[str] = _TARGETS, *, dora: bool = False) -> LoraConfig:
    """Adapters on these matrices of every block, no dropout. `dora`: the length of each row is learnt too."""
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=list(targets),
        use_dora=dora,
    )


def add_adapters(model: PreTrainedModel, config: LoraConfig, seed: int) -> PreTrainedModel:
    """Put adapters into `model`, in place; only they are trainable afterwards. Equal on every rank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of targets that a model does not have
        inject_adapter_in_model(config, model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(is_adapter(name))
            if name.endswith(_DOWN):
                parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator_of(name, seed, parameter.device))
    return model


def is_adapter(name: str) -> bool:
    """Whether a parameter name belongs to an adapter."""
    return any(part in name for part in _PARTS)


def merged(weights: Mapping[str, torch.Tensor], config: LoraConfig) -> dict[str, torch.Tensor]:
    """Plain Hugging Face weights from the weights of a model with adapters: W + alpha/r * B A.

    DoRA's rows are then stretched to the lengths that were learnt.
    """
    factor = config.lora_alpha / config.r
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if is_adapter(name):
            continue
        module = name.removesuffix(".base_layer.weight")
        if module == name:
            plain[name] = tensor
        else:
            down, up = weights[module + _DOWN], weights[module + _UP]
            sums = tensor + factor * (up @ down)
            if config.use_dora:
                lengths = row_lengths(Matrix(tensor, down, up, factor))
                sums = sums * (weights[module + _MAGNITUDE] / lengths)[:, None]
            plain[f"{module}.weight"] = sums
    return plain


def checkpoint_weights(checkpoint: Path, base: Path | None) -> dict[str, torch.Tensor]:
    """Plain weights of a checkpoint; `base` is that of an adapter whose checkpoint leaves them out.

    Raises ValueError, OSError.
    """
    if base is None or (checkpoint / WEIGHTS).exists():  # those of the release before have it always
        return load_tensors(checkpoint / WEIGHTS)
    config = LoraConfig.from_pretrained(str(checkpoint / ADAPTER_FOLDER))
    return merged(dict(put_on(load_model(base), checkpoint).named_parameters()), config)


def put_on(model: PreTrainedModel, checkpoint: Path) -> PreTrainedModel:
    """A base model with the adapter of a checkpoint, in place; one that has an adapter of this kind gets its weights.

    Raises ValueError, OSError.
    """
    if not any(is_adapter(name) for name, _ in model.named_parameters()):
        add_adapters(model, LoraConfig.from_pretrained(str(checkpoint / ADAPTER_FOLDER)), seed=0)
    adapter = adapter_weights(load_tensors(adapter_file(checkpoint)))
    wanted = {name for name, each in model.named_parameters() if each.requires_grad}
    if different := sorted(adapter.keys() ^ wanted):
        raise ValueError(f"the adapter belongs to another base model ({different[0]} differs)")
    model.load_state_dict(adapter, strict=False)
    return model.eval()


def save_adapter(weights: Mapping[str, torch.Tensor], config: LoraConfig, folder: Path) -> None:
    """Write the adapter as peft does into `adapter` below a folder: `PeftModel.from_pretrained` reads that subfolder.

    The bytes depend on the adapter alone. Raises OSError.
    """
    folder = folder / ADAPTER_FOLDER
    config.save_pretrained(folder)
    saved = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    saved["target_modules"] = sorted(saved["target_modules"])  # a set, in another order in every process
    (folder / _CONFIG).write_text(json.dumps(saved, indent=2, sort_keys=True), encoding="utf-8")
    adapter = {_PEFT_PREFIX + _peft_name(name): t for name, t in weights.items() if is_adapter(name)}
    save_tensors(adapter, folder / ADAPTER_WEIGHTS)


def _peft_name(name: str) -> str:
    return name.replace(_MAGNITUDE, _PEFT_MAGNITUDE).replace(".default.", ".")


def adapter_file(folder: Path) -> Path:
    """Where the weights of the adapter lie in a checkpoint; those of the release before had them beside the others."""
    inner = folder / ADAPTER_FOLDER / ADAPTER_WEIGHTS
    return inner if inner.exists() else folder / ADAPTER_WEIGHTS


def adapter_weights(saved: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Back from peft's names to the names inside a model with adapters."""
    return {_own_name(name.removeprefix(_PEFT_PREFIX)): tensor for name, tensor in saved.items()}


def _own_name(name: str) -> str:
    if name.endswith(_PEFT_MAGNITUDE):
        return name.removesuffix(_PEFT_MAGNITUDE) + _MAGNITUDE
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
