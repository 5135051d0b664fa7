"""Models on disk as Hugging Face folders, and the reference decoding that every other path is compared with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

WEIGHTS = "model.safetensors"


def load_model(folder: Path | str) -> PreTrainedModel:
    """The fp32 model of a local folder (or a hub id), ready to score. Raises OSError or ValueError if none."""
    disable_progress_bar()  # services write logs, not terminals
    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    try:
        if _has_merged_adapter(Path(folder)):
            return _load_plain(Path(folder), options).eval()
        model = AutoModelForCausalLM.from_pretrained(str(folder), **options)
    except (SafetensorError, RuntimeError) as error:  # a damaged file; tensors that do not fit the config
        raise ValueError(f"the weights in {folder} are damaged or belong to another config.json: {error}") from None
    return model.eval()


def _has_merged_adapter(folder: Path) -> bool:
    """Whether transformers would apply an adapter to weights that have it: a LoRA checkpoint of the release before."""
    return (folder / "adapter_config.json").is_file() and (folder / WEIGHTS).is_file()


def _load_plain(folder: Path, options: Mapping[str, Any]) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), **options)
    missing, unexpected = model.load_state_dict(load_tensors(folder / WEIGHTS), strict=False)
    if absent := sorted({*missing, *unexpected} - set(model.all_tied_weights_keys)):
        raise ValueError(f"the weights in {folder} belong to another config.json: {absent[0]}")
    model.tie_weights()
    return model


def save_weights(weights: Mapping[str, torch.Tensor], config: PretrainedConfig, folder: Path) -> None:
    """Write config.json and model.safetensors, without tokenizer. Raises OSError when the disk is full."""
    config.save_pretrained(folder)
    save_tensors(weights, folder / WEIGHTS)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write named tensors; tensors that share memory are stored apart. Raises OSError."""
    apart = {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())}
    try:
        save_file(apart, path, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(f"{path.name}: {error}") from None


def not_finite(tensors: Mapping[str, torch.Tensor]) -> str:
    """The name of the first tensor that holds a NaN or an infinity; empty if none does."""
    return next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), "")


def largest(tensors: Mapping[str, torch.Tensor], limit: float) -> tuple[float, str]:
    """The largest absolute value, and the name of the first tensor with a NaN or a value above `limit` (or empty)."""
    most = 0.0
    for name, tensor in tensors.items():
        low, high = torch.aminmax(tensor.detach()) if tensor.numel() else (torch.zeros(()), torch.zeros(()))
        value = max(-float(low), float(high))
        if not value <= limit:  # a NaN is not above anything
            return value, name
        most = max(most, value)
    return most, ""


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Named tensors on the CPU."""
    loaded: dict[str, torch.Tensor] = load_file(path)
    return loaded


@torch.inference_mode()
def greedy_tokens(model: PreTrainedModel, ids: Sequence[int], num_new: int, eos_id: int | None = None) -> list[int]:
    """The most probable continuation of `ids`, at most `num_new` tokens; stops after `eos_id` or at the context.

    Recomputes the whole sequence for every token: slow, and without a cache that could be wrong. Ties go to the
    lowest id.
    """
    sequence = list(ids)
    limit = model.config.max_position_embeddings
    new: list[int] = []
    while len(new) < num_new and len(sequence) < limit:
        logits = model(input_ids=torch.tensor([sequence]), use_cache=False, logits_to_keep=1).logits  # (1, 1, V)
        token = int(logits[0, -1].argmax())
        new.append(token)
        sequence.append(token)
        if token == eos_id:
            break
    return new
