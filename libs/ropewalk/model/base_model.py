"""Looks at the folder of a base model before a run is accepted, without loading it. No torch here.

A hub id cannot be judged here: it is fetched, and refused if need be, where it is used first.
"""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.model.chat.renderer import check_template
from ropewalk.model.families import why_not_served
from ropewalk.model.weight_files import MissingShardError, weight_files, why_not_whole

_CONFIG = "config.json"
_TOKENIZER = "tokenizer.json"
_TOKENIZERS = (_TOKENIZER, "tokenizer.model", "vocab.json", "spiece.model")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_MAX_CONFIG_BYTES = 4_000_000
_MAX_TOKENIZER_BYTES = 100_000_000  # the largest public ones have about 35 MB
_REMEDY = "name the folder of a Hugging Face checkpoint or a hub id"


class _FaultError(Exception):
    """What is wrong with the folder, and the remedy."""


def base_model_fault(folder: Path, context_length: int, *, any_family: bool = False) -> str:
    """Why the model in a folder cannot be fine-tuned on windows of `context_length` tokens and then served.

    Empty if nothing is wrong that can be seen without loading it. With `any_family` the endpoint is not ours to judge.
    """
    try:
        config = _config(folder)
        _check_weights(folder)
        _check_length(config, context_length)
        _check_vocabulary(folder, config)
        _check_template(folder)
    except _FaultError as fault:
        return str(fault)
    reason = "" if any_family else why_not_served(config)
    return f"the endpoint could not run it: {reason}; choose another base model" if reason else ""


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = _read_json(folder / _CONFIG, _MAX_CONFIG_BYTES)
    except FileNotFoundError:
        what = f"it is not a folder with a {_CONFIG}" if folder.exists() else "there is no such folder"
        raise _FaultError(f"{what}; {_REMEDY}") from None
    except NotADirectoryError:
        raise _FaultError(f"it is a file; {_REMEDY}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _FaultError(f"its {_CONFIG} cannot be read ({error}); {_REMEDY}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise _FaultError(f"its {_CONFIG} names no model_type, so it is not a model; {_REMEDY}")
    return config


def _check_weights(folder: Path) -> None:
    """Every file of the weights is there and as long as it says; a pointer of Git LFS is no weights."""
    try:
        files = weight_files(folder)
    except MissingShardError as error:
        raise _FaultError(f"{error}; copy the model again") from None
    if not files:
        raise _FaultError(f"it has a {_CONFIG} but no weights ({' or '.join(_WEIGHTS)}); {_REMEDY}")
    for path in files:
        if reason := why_not_whole(path):
            raise _FaultError(f"its weights {path.name} {reason}; copy the model again")


def _check_length(config: dict[str, Any], context_length: int) -> None:
    longest = config.get("max_position_embeddings")
    if isinstance(longest, int) and longest < context_length:
        raise _FaultError(
            f"it reads at most {longest} tokens, but the recipe's size trains on windows of {context_length}; choose a "
            "smaller size or another base model"
        )


def _check_vocabulary(folder: Path, config: dict[str, Any]) -> None:
    """A token without a row in the embedding would end the training at the first record that has it."""
    rows = config.get("vocab_size")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise _FaultError(f"it has no tokenizer ({' or '.join(_TOKENIZERS)}); {_REMEDY}")
    if not isinstance(rows, int) or not (folder / _TOKENIZER).is_file():
        return
    try:
        tokenizer = _read_json(folder / _TOKENIZER, _MAX_TOKENIZER_BYTES)
        needed = 1 + max(_token_ids(tokenizer), default=-1)
    except (OSError, ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        raise _FaultError(f"its {_TOKENIZER} cannot be read ({error}); {_REMEDY}") from None
    if needed > rows:
        raise _FaultError(
            f"its tokenizer has {needed:,} tokens and its embedding only {rows:,} rows; choose a base model whose "
            "tokenizer fits, or resize its embedding first"
        )


def _check_template(folder: Path) -> None:
    """A folder may have none: then it takes no conversations, which its caller may refuse."""
    try:
        template = read_chat_folder(folder).template
        if template:
            check_template(template)
    except (OSError, ChatTemplateError) as error:
        raise _FaultError(
            f"its chat template cannot be used: {error}; correct it or choose another base model"
        ) from None


def _token_ids(tokenizer: dict[str, Any]) -> Iterator[int]:
    vocabulary = tokenizer["model"].get("vocab") or {}
    yield from (int(each) for each in vocabulary.values()) if isinstance(vocabulary, dict) else range(len(vocabulary))
    yield from (int(added["id"]) for added in tokenizer.get("added_tokens") or ())


def _read_json(path: Path, max_bytes: int) -> Any:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device would be read for ever
        raise ValueError("it is not a file")
    if found.st_size > max_bytes:
        raise ValueError(f"it is larger than {max_bytes // 1_000_000} MB")
    return json.loads(path.read_bytes())
