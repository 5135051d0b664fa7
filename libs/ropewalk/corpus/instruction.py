"""A conversation behind a task's long instruction: what its base model is told, as an opponent and as a teacher.

A turn of the system that repeats the task's short prompt is what baking leaves: whoever is instructed reads the
instruction in its place. Other turns of the system are part of the question.
"""

from collections.abc import Sequence
from dataclasses import replace

from ropewalk.corpus.document import ChatMessage

Turns = tuple[ChatMessage, ...]


def instructed(turns: Turns, prompt: str, instruction: str, shots: Sequence[Turns] = ()) -> Turns:
    """A conversation after the instruction and worked examples, in the place of the short `prompt`."""
    worked = [turn for shot in shots for turn in _bare(shot, prompt)]
    return (ChatMessage(role="system", content=instruction), *worked, *_bare(turns, prompt))


def folded(turns: Turns) -> Turns:
    """For templates that know no system: what it says stands before the first turn of the user."""
    said = [turn.content for turn in turns if turn.role == "system"]
    others = [turn for turn in turns if turn.role != "system"]
    first = next(at for at, turn in enumerate(others) if turn.role == "user")
    others[first] = replace(others[first], content="\n\n".join([*said, others[first].content]))
    return tuple(others)


def _bare(turns: Turns, prompt: str) -> Turns:
    return turns[1:] if turns and turns[0].role == "system" and turns[0].content == prompt else turns
