"""What must be known of a Hugging Face folder before it is read, and the licence that it declares. No torch here."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ropewalk.model.base_model import base_model_fault
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.weight_files import weight_files

MOST_BYTES = 64 << 30  # of weights
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
PAPERS = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt")
_MOST_PAPER_BYTES = 1_000_000
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
_TITLES = {
    "apache license": "apache-2.0",
    "mit license": "mit",
    "bsd 3-clause": "bsd-3-clause",
    "gnu general public license": "gpl",
}
_MOST_LICENCE = 200


def check_folder(folder: Path) -> None:
    """Raises RefusedError with the first reason not to read a folder."""
    adapter = read_json(folder / "adapter_config.json")
    if adapter and not (folder / "config.json").is_file():
        base = str(adapter.get("base_model_name_or_path") or "?")[:200]
        raise RefusedError(f"it is an adapter for {base!r}, not a model: merge it into that one and import the result")
    config = read_json(folder / "config.json")
    if fault := base_model_fault(folder, 1):
        code = "; code that comes with a model never runs here" if config.get("auto_map") else ""
        raise RefusedError(f"{fault}{code}")
    if quantised := config.get("quantization_config"):
        method = str(quantised.get("quant_method", "?") if isinstance(quantised, dict) else quantised)[:40]
        raise RefusedError(f"its weights are quantised ({method}): import the unquantised model, or a GGUF file")
    files = weight_files(folder)
    if pickled := [path.name for path in files if path.suffix != ".safetensors"]:
        raise RefusedError(
            f"its weights {pickled[0]} are pickled, and loading them could run anything: convert them to safetensors"
        )
    check_size(sum(path.stat().st_size for path in files))
    if not (folder / "tokenizer.json").is_file():
        raise RefusedError("it has no tokenizer.json: save its tokenizer with a recent transformers first")


def check_size(num_bytes: int) -> None:
    """Raises RefusedError for weights beyond all bounds."""
    if num_bytes > MOST_BYTES:
        raise RefusedError(f"its weights have {num_bytes / 2**30:.0f} GiB; at most {MOST_BYTES >> 30} are imported")


def declared_licence(folder: Path) -> str:
    """The licence in the front matter of the model card, else the one that a LICENSE file is titled with; or empty."""
    card = _FRONT_MATTER.match(_paper(folder / "README.md"))
    try:
        said = yaml.safe_load(card[1]) if card else {}
    except (yaml.YAMLError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    licence = said.get("license_name") if said.get("license") == "other" else said.get("license")
    if isinstance(licence, str) and licence:
        return licence[:_MOST_LICENCE]
    begin = " ".join("".join(_paper(folder / name) for name in PAPERS[1:4])[:400].lower().split())
    return next((licence for title, licence in _TITLES.items() if title in begin), "")


def chosen_licence(declared: str, given: str) -> str:
    """Raises RefusedError if nobody says the licence, or two say different ones."""
    if declared and given and declared.lower() != given.lower():
        raise RefusedError(f"it declares the licence {declared!r} and --licence says {given[:_MOST_LICENCE]!r}: which?")
    if not declared and not given:
        raise RefusedError("it declares no licence: say with --licence under which you may use it (an SPDX name)")
    return (declared or given)[:_MOST_LICENCE]


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object; empty if there is none. Its own checks say what is wrong with a damaged one."""
    try:
        content = json.loads(path.read_bytes()) if path.stat().st_size < 4_000_000 else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _paper(path: Path) -> str:
    try:
        small = path.is_file() and path.stat().st_size <= _MOST_PAPER_BYTES
        return path.read_text(encoding="utf-8", errors="replace") if small else ""
    except OSError:
        return ""
