"""Reads a model through transformers and writes it as an ordinary Hugging Face folder. For a child process.

Code that comes with a model never runs, and nothing pickled is loaded.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ropewalk.model.architecture import num_parameters
from ropewalk.model.base_model import base_model_fault
from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.folders import (
    PAPERS,
    TOKENIZER_FILES,
    check_folder,
    check_size,
    chosen_licence,
    declared_licence,
    read_json,
)
from ropewalk.model.importing.gguf_file import correct_tokenizer, read_gguf_facts
from ropewalk.model.importing.hub import download
from ropewalk.model.importing.source import ModelSource

_HEADROOM = 1.3  # of memory, above the weights in float32
_LOCAL = {"trust_remote_code": False, "local_files_only": True}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What lies in the folder now. `licence` is the declared one, or the given."""

    licence: str
    family: str
    num_parameters: int
    context_length: int
    has_template: bool


def write_folder(source: ModelSource, licence: str, target: Path, say: Callable[[str], None]) -> Written:
    """Write weights, config, tokenizer, template and papers of a model into `target`. Raises RefusedError."""
    disable_progress_bar()
    if source.kind == "gguf":
        licence, model = _from_gguf(Path(source.place), licence, target, say)
    else:
        here = Path(source.place) if source.kind == "folder" else download(source.place, target.parent / "hub", say)
        licence, model = _from_folder(here, licence, target, say)
    say("writing")
    model.config.__dict__.pop("auto_map", None)
    model.config._name_or_path = ""
    model.save_pretrained(target)
    if fault := base_model_fault(target, 1):
        raise RefusedError(fault)
    config = read_json(target / "config.json")
    if config.get("eos_token_id") is None and read_json(target / "generation_config.json").get("eos_token_id") is None:
        raise RefusedError("it names no token that ends a text (eos_token_id), so no answer would ever end")
    _check_tokenizer(target)
    return Written(
        licence=licence,
        family=str(config["model_type"]),
        num_parameters=num_parameters(model),
        context_length=int(config.get("max_position_embeddings", 2048)),
        has_template=bool(read_chat_folder(target).template),
    )


def _from_gguf(path: Path, given: str, target: Path, say: Callable[[str], None]) -> tuple[str, PreTrainedModel]:
    facts = read_gguf_facts(path)
    licence = chosen_licence(facts.licence, given)
    _check_room(4 * facts.num_elements)
    say("reading the tokenizer")
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name, **_LOCAL}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    correct_tokenizer(tokenizer.backend_tokenizer, facts.pre_tokenizer)
    config = AutoConfig.from_pretrained(**place)
    if facts.head_dim:
        config.head_dim = facts.head_dim  # transformers takes the family's default
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(target)
    # A family's own class would split texts as that family does, whatever the file says of its tokenizer.
    plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
    _change(target / "tokenizer_config.json", plain, without=("is_local", "local_files_only", "name_or_path"))
    say("reading the weights")
    with contextlib.redirect_stderr(io.StringIO()):  # transformers would draw a bar of its own
        model = _loaded(**place, config=config, dtype=torch.float32)
    # They are plain now, but the model still says that it is quantised, and would refuse to be saved.
    model.hf_quantizer, model.is_quantized = None, False
    model.config.__dict__.pop("quantization_config", None)
    return licence, model


def _from_folder(folder: Path, given: str, target: Path, say: Callable[[str], None]) -> tuple[str, PreTrainedModel]:
    check_folder(folder)
    licence = chosen_licence(declared_licence(folder), given)
    num_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    _check_room(2 * num_bytes)
    for name in (*TOKENIZER_FILES, *PAPERS):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    _change(target / "tokenizer_config.json", {}, without=("auto_map",))
    say("reading the weights")
    model = _loaded(pretrained_model_name_or_path=str(folder), dtype="auto", use_safetensors=True, **_LOCAL)
    return licence, model


def _loaded(**wanted: object) -> PreTrainedModel:
    try:
        model, told = AutoModelForCausalLM.from_pretrained(output_loading_info=True, **wanted)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"transformers cannot read it: {' '.join(str(error).split())[:300]}") from None
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if wrong := sorted(map(str, told.get(what) or ())):
            raise RefusedError(f"its weights do not fit its config.json: {what.replace('_keys', '')} {wrong[0][:200]}")
    loaded: PreTrainedModel = model
    return loaded.eval()


def _check_tokenizer(target: Path) -> None:
    """As preprocessing will load it, which needs the end's spelling to close every document with it."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(target), **_LOCAL)
    except (OSError, ValueError) as error:
        raise RefusedError(f"its tokenizer cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    if not tokenizer.is_fast:
        raise RefusedError("it has no tokenizer.json, and none can be made of what it has: save one beside its weights")
    if tokenizer.eos_token_id is None:
        raise RefusedError("its tokenizer names no eos_token: write the end token's text into tokenizer_config.json")


def _check_room(num_bytes: int) -> None:
    """Raises RefusedError where the weights in float32 do not fit into memory."""
    check_size(num_bytes)
    free = psutil.virtual_memory().available
    if num_bytes * _HEADROOM > free:
        needed, there = (f"{each / 2**30:.1f} GiB" for each in (num_bytes * _HEADROOM, free))
        raise RefusedError(f"reading it takes about {needed} of memory and {there} are free: use a larger machine")


def _change(path: Path, fields: dict[str, str], without: tuple[str, ...]) -> None:
    content = read_json(path)
    kept = {name: value for name, value in content.items() if name not in without} | fields
    if kept != content:
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False))
