"""What a reader of the report is shown where no code is completed: how the model goes on from held-out documents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropewalk.evaluator.domain.excerpts import place
from ropewalk.evaluator.domain.tasks import Item

NUM_SAMPLES = 6
_CHARACTERS = 300  # of a text, or all of it but its last third


@dataclass(frozen=True)
class Sample:
    """A continuation beside what it continues."""

    path: str
    prompt_end: str
    completion: str


def openings(items: Sequence[Item], seed: int) -> tuple[Item, ...]:
    """Beginnings of texts, and conversations up to their first answer: few, each of another file, in hash order."""
    found: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: place(f"sample/{item.item_id}", seed)):
        if item.path not in found and (opening := _opening(item)):
            found[item.path] = opening
    return tuple(found.values())[:NUM_SAMPLES]


def _opening(item: Item) -> Item | None:
    if item.turns:
        answers = [index for index, turn in enumerate(item.turns) if turn.role == "assistant" and index]
        return replace(item, turns=item.turns[: answers[0]]) if answers else None
    most = min(_CHARACTERS, len(item.text) * 2 // 3)
    # Cut between words: half a word would be a riddle and no beginning.
    words = item.text[:most].rpartition(" ")[0] or item.text[:most]
    return replace(item, text=words) if words.strip() else None
