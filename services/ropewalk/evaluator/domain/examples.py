"""Held-out examples of a task as questions with the answer that is wanted, and what each opponent is told before them.

A turn of the system that repeats the task's short prompt is what baking leaves: an opponent reads the instruction in
its place. Other turns of the system are part of the question.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.domain.excerpts import place
from ropewalk.evaluator.domain.tasks import Item, TaskSet

MOST_EXAMPLES = 128  # asked of every opponent
EXAMPLES = "held-out examples"
Turns = tuple[ChatMessage, ...]


def choose_examples(items: Sequence[Item], seed: int) -> TaskSet:
    """At most MOST_EXAMPLES conversations in hash order; `reference` is the last answer, `turns` what is before it."""
    found = [replace(item, turns=item.turns[:-1], reference=item.turns[-1].content) for item in items if _asks(item)]
    found.sort(key=lambda item: place(f"example/{item.item_id}", seed))
    return TaskSet(EXAMPLES, tuple(found[:MOST_EXAMPLES]))


def _asks(item: Item) -> bool:
    return len(item.turns) > 1 and item.turns[-1].role == "assistant" and bool(item.turns[-1].content)


def instructed(turns: Turns, prompt: str, instruction: str, shots: Sequence[Turns] = ()) -> Turns:
    """A question after the instruction and worked examples, in the place of the short `prompt`."""
    worked = [turn for shot in shots for turn in _bare(shot, prompt)]
    return (ChatMessage(role="system", content=instruction), *worked, *_bare(turns, prompt))


def folded(turns: Turns) -> Turns:
    """For templates that know no system: what it says stands before the first turn of the user."""
    said = [turn.content for turn in turns if turn.role == "system"]
    others = [turn for turn in turns if turn.role != "system"]
    first = next(at for at, turn in enumerate(others) if turn.role == "user")
    others[first] = replace(others[first], content="\n\n".join([*said, others[first].content]))
    return tuple(others)


def are_structured(items: Sequence[Item]) -> bool:
    """Whether every wanted answer is a JSON object or array."""
    return all(isinstance(_json(item.reference), dict | list) for item in items)


def _bare(turns: Turns, prompt: str) -> Turns:
    return turns[1:] if turns and turns[0].role == "system" and turns[0].content == prompt else turns


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
