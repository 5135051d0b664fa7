"""How encoded documents become windows.

Texts are laid end to end, an end token after each: every window is full and none is wasted. Conversations are never
cut by the border of a window. Where attention stays within a document, several share one; else each begins a window,
so that no answer is learnt from a stranger's question. What is left of a window is padded with end tokens that do
not count. The two answers of a preference are two documents, side by side in one window.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Tokens to append: both arrays (n,). `length` counts the document's own tokens, without padding.

    `second`: where the second of two documents begins; 0: there is one.
    """

    tokens: _Ids
    mask: NDArray[np.uint8]
    length: int
    second: int = 0


def pack_text(ids: list[int], eos_id: int) -> Packed:
    """A text and its end token; every token counts."""
    tokens = np.array([*ids, eos_id], dtype=np.int64)
    return Packed(tokens=tokens, mask=np.ones(len(tokens), dtype=np.uint8), length=len(tokens))


def pack_conversation(ids: list[int], mask: list[int], *, context_length: int) -> Packed | None:
    """A conversation cut to one window; None if no token that counts is left in the window.

    The first token of a conversation has nothing before it to be told by, so it does not count.
    """
    length = min(len(ids), context_length)
    kept = np.array(mask[:length], dtype=np.uint8)
    kept[:1] = 0
    if not kept.any():
        return None
    return Packed(tokens=np.array(ids[:length], dtype=np.int64), mask=kept, length=length)


def pack_pair(chosen: Packed, rejected: Packed) -> Packed:
    """A conversation with the chosen answer, and behind it the same with the rejected one."""
    return Packed(
        tokens=np.concatenate((chosen.tokens, rejected.tokens)),
        mask=np.concatenate((chosen.mask, rejected.mask)),
        length=chosen.length + rejected.length,
        second=chosen.length,
    )


def padded(packed: Packed, *, eos_id: int, context_length: int) -> Packed:
    """The same with end tokens that do not count, up to the end of its last window."""
    padding = -len(packed.tokens) % context_length
    tokens = np.pad(packed.tokens, (0, padding), constant_values=eos_id)
    return replace(packed, tokens=tokens, mask=np.pad(packed.mask, (0, padding)))


def share_windows(lengths: Sequence[int], context_length: int) -> list[list[int]]:
    """Which documents (places in `lengths`, at most a window each) lie together in a window, and in which order.

    Best fit decreasing: the longest first, each into the fullest window that has room for it.
    """
    windows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens that are free, window), ascending
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        at = bisect_left(room, (lengths[place], 0))
        free, number = room.pop(at) if at < len(room) else (context_length, len(windows))
        if number == len(windows):
            windows.append([])
        windows[number].append(place)
        insort(room, (free - lengths[place], number))
    return windows


def cut_sentence(num_cut: int, num_examples: int, context_length: int, window: int) -> str:
    """How many examples lose a part, and the remedy; empty: none does. One of `window` tokens holds 99 % of them."""
    if not num_cut:
        return ""
    return (
        f"field 'training.context_length' has the value {context_length}: {num_cut:,} of {num_examples:,} examples are "
        f"longer, and what is beyond the window is not learnt; a window of {window} tokens holds 99 % of them: "
        "raise it, shorten the examples, or choose a base model that reads more"
    )


def count_windows(num_tokens: int, context_length: int) -> int:
    """Whole windows in a flat run of tokens; each needs one token more than its length, for the last target."""
    return max(0, (num_tokens - 1) // context_length)
