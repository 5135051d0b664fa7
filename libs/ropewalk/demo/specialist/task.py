"""The demo's task folder, as a user would have it, and the recipe that bakes it."""

import json
import sysconfig
from importlib.resources import files
from pathlib import Path

from pydantic import JsonValue

from ropewalk.demo.specialist.functions import chosen_examples

NAME = "function-record"
MAX_ANSWER_TOKENS = 96  # the longest record of the examples has 89
_NUM_EXAMPLES = 480
_MOST_OF_A_MODULE = 8  # nobody's style shall fill the set
_INSTRUCTION, _SCHEMA, _EXAMPLES = "instruction.md", "schema.json", "examples.jsonl"
# Found on two cores without AMX: LoRA at this rate reaches .98 valid answers after one pass over the examples. A window
# holds about three of them; two passes are 120 steps and some four minutes.
_TRAINING: dict[str, JsonValue] = {
    "context_length": 512,
    "document_masks": True,
    "batch_size": 2,
    "total_steps": 120,
    "adam_lr": 0.002,
    "lora_rank": 16,
    "validate_every": 30,
}


def write_folder(folder: Path) -> int:
    """Write instruction, schema and examples. Returns the number of examples. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_INSTRUCTION, _SCHEMA):
        (folder / name).write_text(_shipped(name), encoding="utf-8")
    chosen = chosen_examples(Path(sysconfig.get_paths()["stdlib"]), _NUM_EXAMPLES, _MOST_OF_A_MODULE)
    records = [{"input": each.source, "output": each.record, "module": each.module} for each in chosen]
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    (folder / _EXAMPLES).write_text("".join(lines), encoding="utf-8")
    return len(lines)


def recipe_fields(folder: Path, base_model: str) -> dict[str, JsonValue]:
    """The recipe that bakes what `write_folder` wrote. Examples of one module are held out together."""
    source: dict[str, JsonValue] = {
        "path": str(folder / _EXAMPLES),
        "licence": "PSF-2.0",
        "format": "examples",
        "key_field": "module",
    }
    task: dict[str, JsonValue] = {
        "instruction": _shipped(_INSTRUCTION).strip(),
        "json_schema": answer_schema(),
        "shots": 3,
        "max_answer_tokens": MAX_ANSWER_TOKENS,
        "compare": ["instruction", "shots"],
    }
    return {
        "name": NAME,
        "mode": "finetune",
        "base_model": base_model,
        "adapter": "lora",
        "strategy": "ddp",  # only the adapters' gradients travel
        "precision": "bf16",
        "sources": [source],
        "minutes": 5,
        "evaluation": {"held_out_fraction": 0.1},
        "training": _TRAINING,
        "task": task,
    }


def answer_schema() -> dict[str, JsonValue]:
    """The JSON schema that every answer must fit."""
    schema: dict[str, JsonValue] = json.loads(_shipped(_SCHEMA))
    return schema


def _shipped(name: str) -> str:
    return files("ropewalk.demo.specialist").joinpath(name).read_text(encoding="utf-8")
