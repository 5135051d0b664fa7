"""When do several ways to run the same model agree?

The same prompts are continued greedily on every path. Token ids are compared where a path offers them, else the text.
The first path is the reference: the trainer's own weights. Tokens may agree by luck, so three more things must: how
texts and chats become token ids, the log-probability of every token, and its mean where a path offers no more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NUM_PROMPTS = 16
NUM_TOKENS = 16  # of each completion
PROMPT_TOKENS = 64  # at most; longer prompts would only cost time
# By how much a token's log-probability may differ, in nats, by the type that the exported weights are stored in. The
# arithmetic is fp32 on both sides; what is left is the rounding of the weights, and for F32 the order of sums. Measured
# on six exports of 58 k to 918 k parameters, 16 prompts and their completions, the worst of them: F32 with and without
# cache 7e-6, F16 0.004, BF16 0.036, F8_E4M3 (a scale per matrix, not of embedding and head) 0.28. The bounds leave a
# factor of 2.5 to 14; a wrong weight costs whole nats.
LOGPROB_BOUNDS: Mapping[str, float] = {"F32": 1e-4, "F16": 0.01, "BF16": 0.1, "F8_E4M3": 0.8}
CHATS = (
    ({"role": "user", "content": "Hello, who are you?"},),
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
    ),
)
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
    """What a path said to one prompt. `token_ids` is None where the path only gives text.

    `logprob_mean` is that of the tokens said, in nats; None where the path does not give it.
    """

    text: str
    token_ids: tuple[int, ...] | None
    logprob_mean: float | None = None


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


def find_other_encodings(ours: Mapping[str, Sequence[object]], theirs: Mapping[str, Sequence[object]]) -> str:
    """The first of the texts that the export reads otherwise than the trainer did, and where; empty if none."""
    for what, expected in ours.items():
        if place := _where("token", expected, theirs[what]):
            return f"export reads {what} otherwise than trainer at {place}"
    return ""


def find_shift(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], bound: float) -> tuple[float, str]:
    """The largest difference of log-probabilities, in nats, and a sentence about the first one above the bound.

    A row per prompt, a number per token from its second on.
    """
    largest, sentence = 0.0, ""
    for number, (expected, found) in enumerate(zip(ours, theirs, strict=True), start=1):
        for token, (left, right) in enumerate(zip(expected, found, strict=True), start=2):
            difference = abs(left - right)
            largest = max(largest, difference if math.isfinite(difference) else math.inf)
            if not difference <= bound and not sentence:
                sentence = (
                    f"export differs from trainer at prompt {number}, token {token}: its log-probability is "
                    f"{right:.6g} instead of {left:.6g} (bound {bound:g})"
                )
    return largest, sentence


def find_mean_shift(
    name: str, reference: Sequence[Completion], answers: Sequence[Completion], bound: float
) -> tuple[float | None, str]:
    """As `find_shift`, of the means that a path gives; None for one that gives none."""
    largest: float | None = None
    for number, (ours, theirs) in enumerate(zip(reference, answers, strict=False), start=1):
        if ours.logprob_mean is None or theirs.logprob_mean is None or ours.token_ids != theirs.token_ids:
            continue  # the means of different tokens say nothing
        difference = abs(ours.logprob_mean - theirs.logprob_mean)
        largest = max(largest or 0.0, difference if math.isfinite(difference) else math.inf)
        if not difference <= bound:
            said = f"{theirs.logprob_mean:.6g} instead of {ours.logprob_mean:.6g} (bound {bound:g})"
            return largest, f"{name} differs from trainer at prompt {number}: its mean log-probability is {said}"
    return largest, ""


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
