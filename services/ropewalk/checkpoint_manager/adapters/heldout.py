"""Prompts from the held-out documents of an evaluation set."""

import io
import json
from pathlib import Path

import zstandard

from ropewalk.checkpoint_manager.domain.parity import NUM_PROMPTS, head_of

ITEMS = "items.jsonl.zst"


def read_heads(evalset: Path) -> tuple[str, ...]:
    """The beginnings of the first documents, or of the first question where a document is a conversation."""
    heads: list[str] = []
    with (evalset / ITEMS).open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            heads.append(head_of(_text_of(json.loads(line))))
            if len(heads) == NUM_PROMPTS:
                break
    return tuple(heads)


def _text_of(item: dict[str, object]) -> str:
    messages = item.get("messages")
    if isinstance(messages, list) and messages:
        return str(messages[0]["content"])
    return str(item.get("text", ""))
