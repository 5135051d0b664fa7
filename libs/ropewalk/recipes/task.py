"""The one job that is baked into a model: what is said to it today, what is left of that, and what it must answer.

It travels in the recipe, so that a run can be repeated without the folder that it came from.
"""

import json
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from ropewalk.recipes.formats import PROMPTED
from ropewalk.recipes.frozen import Frozen

MAX_INSTRUCTION = 32_768
MAX_PROMPT = 4_096
_MAX_SCHEMA_BYTES = 64 * 1024
_MAX_SCHEMA_DEPTH = 32

Opponent = Literal["instruction", "shots", "production"]


class TaskRecipe(Frozen):
    """What is baked. `usecases.schema.check_schema` says whether the schema can be used."""

    instruction: str = Field(
        min_length=1,
        max_length=MAX_INSTRUCTION,
        description="today's long prompt, a turn of the system to the base model that the baked one is compared with",
    )
    prompt: str = Field(
        default="",
        max_length=MAX_PROMPT,
        description="what is left of it after baking, a turn of the system; empty: none",
    )
    json_schema: dict[str, JsonValue] | None = Field(
        default=None, description="that every answer must fit, 64 KiB at most; absent: answers are texts"
    )
    shots: int = Field(default=3, ge=0, le=16, description="worked examples in the prompt of the opponent `shots`")
    samples: int = Field(
        default=4,
        ge=1,
        le=32,
        description="answers that the base model with the instruction gives to each record of a source of inputs",
    )
    max_answer_tokens: int = Field(default=256, ge=1, le=4096, description="tokens of an answer at most")
    compare: tuple[Opponent, ...] = Field(
        default=("instruction", "shots", "production"),
        max_length=3,
        description="opponents: the base with the instruction, with the shots too, and what is in production",
    )

    @model_validator(mode="after")
    def _check_schema_size(self) -> Self:
        if self.json_schema is not None:
            if _depth(self.json_schema) > _MAX_SCHEMA_DEPTH:
                raise ValueError(f"json_schema is nested more than {_MAX_SCHEMA_DEPTH} deep: flatten it")
            size = len(json.dumps(self.json_schema, ensure_ascii=False).encode())
            if size > _MAX_SCHEMA_BYTES:
                raise ValueError(f"json_schema has {size:,} bytes of JSON: {_MAX_SCHEMA_BYTES:,} are allowed")
        return self


def with_task_prompt(fields: dict[str, Any]) -> dict[str, Any]:
    """Recipe fields in which every source of examples has the task's prompt as its `system`, unless it says its own."""
    task, sources = fields.get("task"), fields.get("sources")
    prompt = task.prompt if isinstance(task, TaskRecipe) else task.get("prompt") if isinstance(task, dict) else ""
    if not prompt or not isinstance(sources, list | tuple):
        return fields
    return {**fields, "sources": [_with_system(source, prompt) for source in sources]}


def _with_system(source: Any, prompt: str) -> Any:
    if isinstance(source, Frozen) and getattr(source, "format", "") in PROMPTED:
        return source.model_copy(update={"system": getattr(source, "system", "") or prompt})
    if isinstance(source, dict) and source.get("format") in PROMPTED:
        return {**source, "system": source.get("system") or prompt}
    return source


def _depth(value: JsonValue) -> int:
    """How deep lists and objects are nested; counted level by level, as a deep value would exhaust the stack."""
    depth, level = 0, [value]
    while level := [child for each in level for child in _children(each)]:
        depth += 1
    return depth


def _children(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
