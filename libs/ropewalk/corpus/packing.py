"""How encoded documents become windows.

Texts are laid end to end, an end token after each: every window is full and none is wasted. Conversations each
begin a window and are padded with end tokens that do not count, so that no answer is learnt from a stranger's
question.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Tokens to append: both arrays (n,). `length` counts the document's own tokens, without padding."""

    tokens: _Ids
    mask: NDArray[np.uint8]
    length: int


def pack_text(ids: list[int], eos_id: int) -> Packed:
    """A text and its end token; every token counts."""
    tokens = np.array([*ids, eos_id], dtype=np.int64)
    return Packed(tokens=tokens, mask=np.ones(len(tokens), dtype=np.uint8), length=len(tokens))


def pack_conversation(ids: list[int], mask: list[int], *, eos_id: int, context_length: int) -> Packed | None:
    """A conversation cut to one window and padded to it; None if no token that counts is left in the window.

    The first token of a window is never a target of that window, so it does not count.
    """
    length = min(len(ids), context_length)
    kept = np.zeros(context_length, dtype=np.uint8)
    kept[1:length] = mask[1:length]
    if not kept.any():
        return None
    tokens = np.full(context_length, eos_id, dtype=np.int64)
    tokens[:length] = ids[:length]
    return Packed(tokens=tokens, mask=kept, length=length)


def count_windows(num_tokens: int, context_length: int) -> int:
    """Whole windows in a flat run of tokens; each needs one token more than its length, for the last target."""
    return max(0, (num_tokens - 1) // context_length)
