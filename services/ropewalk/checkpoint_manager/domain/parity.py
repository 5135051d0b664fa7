"""When do several ways to run the same model agree?

The same prompts are continued greedily on every path. Token ids are compared where a path offers them, else the text.
The first path is the reference: the trainer's own weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NUM_PROMPTS = 16
NUM_TOKENS = 16  # of each completion
PROMPT_TOKENS = 64  # at most; longer prompts would only cost time
_CUT_CHARACTER = "\ufffd"  # half of a character: engines may hold it back or show it

FIXED_PROMPTS = (
    "import os\n",
    "def main():\n",
    "class Reader:\n",
    "from collections import ",
    "The first thing to know is",
    "# This module\n",
    "return self.",
    "if __name__ == ",
    "for name in sorted(",
    "In the beginning",
    "with open(path) as file:\n",
    "try:\n",
    "A list of",
    "x = [1, 2, 3]\n",
    "raise ValueError(",
    "Hello, ",
)


@dataclass(frozen=True)
class Completion:
    """What a path said to one prompt. `token_ids` is None where the path only gives text."""

    text: str
    token_ids: tuple[int, ...] | None


def pick_prompts(heads: Sequence[str]) -> tuple[str, ...]:
    """The first lines of held-out documents, filled up with fixed ones."""
    distinct = dict.fromkeys(head for head in heads if head.strip())
    return tuple(dict.fromkeys((*distinct, *FIXED_PROMPTS)))[:NUM_PROMPTS]


def head_of(text: str, *, lines: int = 3, characters: int = 120) -> str:
    """The beginning of a document as a prompt."""
    return "".join(text.splitlines(keepends=True)[:lines])[:characters]


def find_differences(paths: Mapping[str, Sequence[Completion]], eos_id: int) -> tuple[str, ...]:
    """One sentence per path that differs from the first one, with the first place where it does."""
    (reference_name, reference), *others = paths.items()
    found = (_first_difference(reference_name, reference, name, answers, eos_id) for name, answers in others)
    return tuple(sentence for sentence in found if sentence)


def _first_difference(
    reference_name: str, reference: Sequence[Completion], name: str, answers: Sequence[Completion], eos_id: int
) -> str:
    if len(answers) != len(reference):
        return f"{name} answered {len(answers)} of {len(reference)} prompts"
    for number, (ours, theirs) in enumerate(zip(reference, answers, strict=True), start=1):
        place = _place_where(ours, theirs, eos_id)
        if place:
            return f"{name} differs from {reference_name} at prompt {number}, {place}"
    return ""


def _place_where(ours: Completion, theirs: Completion, eos_id: int) -> str:
    if ours.token_ids is not None and theirs.token_ids is not None:
        return _where("token", _without_end(ours.token_ids, eos_id), _without_end(theirs.token_ids, eos_id))
    return _where("character", ours.text.rstrip(_CUT_CHARACTER), theirs.text.rstrip(_CUT_CHARACTER))


def _where(unit: str, left: Sequence[object], right: Sequence[object]) -> str:
    if left == right:
        return ""
    differing = (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    place = next(differing, min(len(left), len(right)))
    return f"{unit} {place + 1}: {_at(right, place)} instead of {_at(left, place)}"


def _without_end(ids: tuple[int, ...], eos_id: int) -> tuple[int, ...]:
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def _at(sequence: Sequence[object], place: int) -> str:
    return repr(sequence[place]) if place < len(sequence) else "the end"
