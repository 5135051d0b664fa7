"""What the loop needs of an objective that is told more than the next token."""

from typing import NamedTuple, Protocol

import torch


class ToldAnswers(NamedTuple):
    """The n answer tokens of a micro-batch and what another model said of each.

    `targets` (n,) int64; `ids` (n, k) int64, tokens that the other model weighed; `logprobs` (n, k + 1) fp32, theirs
    and that of all other tokens together, -inf throughout where nothing was said; `documents` (n,) int64 numbers the
    document of each token, those of every window from an even number on.
    """

    targets: torch.Tensor
    ids: torch.Tensor
    logprobs: torch.Tensor
    documents: torch.Tensor


class Objective(Protocol):
    """A loss over the answer tokens of a micro-batch."""

    def __call__(self, logits: torch.Tensor, told: ToldAnswers) -> torch.Tensor:
        """`logits` (n, V) fp32 -> the loss, summed over what is counted, ()."""
        ...


def logprobs_of(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Of the tokens `ids` (n, k), no two alike in a row, and of all others together: (n, V) -> (n, k + 1).

    The rest is summed from its own logits: 1 - sum(p) would lose all its digits where the named ones are sure.
    """
    whole = logits.logsumexp(-1, keepdim=True)
    named = logits.gather(-1, ids) - whole
    if ids.shape[-1] == logits.shape[-1]:
        return torch.cat((named, torch.full_like(whole, -torch.inf)), dim=-1)
    rest = logits.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True) - whole
    return torch.cat((named, rest), dim=-1)
