"""Held-out examples of a task as questions with the answer that is wanted."""

import json
from collections.abc import Sequence
from dataclasses import replace

from ropewalk.evaluator.domain.excerpts import place
from ropewalk.evaluator.domain.tasks import Item, TaskSet

MOST_EXAMPLES = 128  # asked of every opponent
EXAMPLES = "held-out examples"


def from_sources(items: Sequence[Item], sources: frozenset[str]) -> list[Item]:
    """Those of the given sources, or that do not say theirs, as in an older evaluation set; all, if none is given.

    A run may read other conversations, too, so that the model keeps what it knows: they are no examples of the task.
    """
    return [item for item in items if not sources or item.source_id in ("", *sources)]


def choose_examples(items: Sequence[Item], seed: int, times: int = 1) -> TaskSet:
    """At most `times` MOST_EXAMPLES conversations in hash order; `reference` is the last answer, `turns` the rest."""
    found = [replace(item, turns=item.turns[:-1], reference=item.turns[-1].content) for item in items if _asks(item)]
    found.sort(key=lambda item: place(f"example/{item.item_id}", seed))
    return TaskSet(EXAMPLES, tuple(found[: times * MOST_EXAMPLES]))


def _asks(item: Item) -> bool:
    return len(item.turns) > 1 and item.turns[-1].role == "assistant" and bool(item.turns[-1].content)


def are_structured(items: Sequence[Item]) -> bool:
    """Whether every wanted answer is a JSON object or array."""
    return all(isinstance(_json(item.reference), dict | list) for item in items)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
