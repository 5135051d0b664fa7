"""The folder of a task: what somebody writes who bakes one job into a model, and the recipe that it gives.

`task.yaml` has the recipe's own fields; instruction, schema and examples lie beside it in files of their own.
"""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.formats import EXAMPLES, INPUTS
from ropewalk.recipes.reading import read_recipe_file
from ropewalk.recipes.recipe import RecipeError
from ropewalk.usecases.schema import finite, refuse_number

TASK, INSTRUCTION, SCHEMA, RECORDS = "task.yaml", "instruction.md", "schema.json", "examples.jsonl"
UNANSWERED = "inputs.jsonl"  # need not be there
MADE = "synthetic.jsonl"  # `data synthesise` writes it
_MAX_BYTES = 256 * 1024  # of instruction and schema, whose own bounds are lower and say more
_EXAMPLES_FIELD = "examples"  # of task.yaml: the source's licence, key_field and the like
_TASK_YAML = """\
# The task, in the words of a recipe. Beside it: instruction.md (today's long prompt), schema.json (which every answer
# must fit; delete it if answers are texts) and examples.jsonl (records with `input` and `output`).
name: {name}
base_model: ""  # to begin with: an import (`ropewalk models import`), the folder of an instruct model, or a hub id
examples:
  licence: LicenseRef-private  # of examples.jsonl
task:
  prompt: ""  # what is left of the instruction after baking; empty: nothing
  shots: 3  # worked examples in the prompt of the opponent `shots`
  max_answer_tokens: 256
adapter: lora
minutes: 5
evaluation: {{held_out_fraction: 0.1}}  # of the examples, but 20 at least where there are 100
training: {{document_masks: true, batch_size: 2, total_steps: 120, adam_lr: 0.002, lora_rank: 16}}
# context_length: windows hold the examples, 512 tokens at least, unless you say it here
"""
_INSTRUCTION = """\
You read a message of a customer and answer with one JSON object, on one line, without any text around it. It has two
keys: "topic", one of "order", "invoice" and "other", and "urgent", true if the customer wants an answer today.
"""
_SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"topic": {"enum": ["order", "invoice", "other"]}, "urgent": {"type": "boolean"}},
    "required": ["topic", "urgent"],
    "additionalProperties": False,
}
_RECORDS: tuple[dict[str, JsonValue], ...] = (
    {"input": "Where is my parcel? I need it today!", "output": {"topic": "order", "urgent": True}},
    {"input": "Please send last month's invoice once more.", "output": {"topic": "invoice", "urgent": False}},
)


def write_task_folder(folder: Path, name: str) -> tuple[str, ...]:
    """Write a task to fill in; returns the files' names. Raises RecipeError if something is there, OSError."""
    if folder.exists():
        raise RecipeError((f"{quoted(str(folder))} exists already: choose another name",))
    folder.mkdir(parents=True)
    texts = {
        TASK: _TASK_YAML.format(name=json.dumps(name)),  # of `123` or `yes` YAML would make something else
        INSTRUCTION: _INSTRUCTION,
        SCHEMA: json.dumps(_SCHEMA, indent=2) + "\n",
        RECORDS: "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in _RECORDS),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return tuple(texts)


def read_task_folder(folder: Path) -> dict[str, JsonValue]:
    """The fields of the recipe that bakes the task, with absolute paths. Raises RecipeError."""
    if not folder.is_dir():
        remedy = "`ropewalk init usecase NAME` makes one"
        raise RecipeError((f"{quoted(str(folder))} is no folder of a task: {remedy}",))
    fields: dict[str, Any] = dict(read_recipe_file(folder / TASK, "task"))
    source, task = fields.pop(_EXAMPLES_FIELD, {}), fields.get("task") or {}
    for name, value in ((_EXAMPLES_FIELD, source), ("task", task)):
        if not isinstance(value, dict):
            raise RecipeError((f"{TASK}: field {name!r} has the value {quoted(value)}: it is a mapping of fields",))
    if fixed := sorted({"path", "format"} & source.keys()):
        raise RecipeError((f"{TASK}: field 'examples.{fixed[0]}' is not read: the examples are those of {RECORDS}",))
    beside = {"instruction": INSTRUCTION} | ({"json_schema": SCHEMA} if (folder / SCHEMA).exists() else {})
    if twice := [name for name in beside if name in task]:
        raise RecipeError((f"{TASK}: field 'task.{twice[0]}' stands in {beside[twice[0]]}: take it out of one",))
    if "sources" in fields:
        raise RecipeError((f"{TASK}: field 'sources' is not read: the examples are those of {RECORDS}",))
    task = {"instruction": _text_of(folder / INSTRUCTION).strip(), **task}
    if "json_schema" in beside:
        task["json_schema"] = read_schema(folder / SCHEMA)
    return {
        "mode": "finetune",
        **fields,
        "sources": [
            {"path": str((folder / name).absolute()), "format": form, **source}
            for name, form in ((RECORDS, EXAMPLES), (UNANSWERED, INPUTS))
            if name == RECORDS or (folder / name).exists()
        ]
        + ([_made(folder / MADE, source)] if (folder / MADE).exists() else []),
        "task": task,
    }


def _made(file: Path, source: dict[str, Any]) -> dict[str, Any]:
    """What a model made: each record's mark says which example it belongs to, so no `key_field` does."""
    return {"path": str(file.absolute()), "format": EXAMPLES, **source, "key_field": ""}


def read_schema(file: Path) -> dict[str, JsonValue]:
    """The schema in a file. Raises RecipeError."""
    text = _text_of(file)
    try:
        schema: JsonValue = json.loads(text, parse_constant=refuse_number, parse_float=finite)
    except RecursionError:
        raise RecipeError((f"{SCHEMA} is nested too deeply: flatten it",)) from None
    except ValueError as error:
        raise RecipeError((f"{SCHEMA} is no JSON: {one_line(str(error))}",)) from None
    if not isinstance(schema, dict):
        raise RecipeError((f'{SCHEMA} holds {quoted(schema)}: write a JSON Schema such as {{"type": "object"}}',))
    return schema


def _text_of(file: Path) -> str:
    """Raises RecipeError."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe without a writer would block
            body = opened.read(_MAX_BYTES + 1)
        text = body.decode("utf-8-sig")
    except OSError as error:
        raise RecipeError((f"{one_line(str(file))} cannot be read: {error.strerror}",)) from None
    except UnicodeDecodeError:
        raise RecipeError((f"{file.name} is not UTF-8: save it as that",)) from None
    if len(body) > _MAX_BYTES:
        raise RecipeError((f"{file.name} is larger than {_MAX_BYTES // 1024} kB: shorten it",))
    return text
