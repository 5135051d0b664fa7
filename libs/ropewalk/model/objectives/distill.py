"""Prompt baking: the student answers without the instruction as the teacher does with it (context distillation,
arXiv 2112.00861).
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ropewalk.model.objectives.objective import ToldAnswers, logprobs_of


@dataclass(frozen=True, kw_only=True)
class Distill:
    """(1 - w) * nats of the answer's token + w * T^2 * KL(teacher || student), both softened by the temperature T.

    T^2 keeps the gradients' size (arXiv 1503.02531). Tokens that the teacher was not asked about count as nats alone.
    """

    kl_weight: float
    temperature: float

    def __call__(self, logits: torch.Tensor, told: ToldAnswers) -> torch.Tensor:
        """See Objective: summed over the answers' tokens."""
        nats = F.cross_entropy(logits, told.targets, reduction="none")
        known = torch.isfinite(told.logprobs[:, 0])
        kl = teacher_kl(logits[known] / self.temperature, told.ids[known], told.logprobs[known])
        weight = torch.where(known, 1 - self.kl_weight, 1.0)
        return (weight * nats).sum() + self.kl_weight * self.temperature**2 * kl.sum()


def teacher_kl(logits: torch.Tensor, ids: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    """KL(teacher || student) over the teacher's k likeliest tokens and one bucket with all others, (n,), in nats:

        sum_i p_i (log p_i - log q_i) + p_rest (log p_rest - log q_rest)

    That is never more than the KL over the whole vocabulary, and that itself where k = V.
    """
    mine = logprobs_of(logits, ids)
    p = logprobs.exp()
    return torch.where(p > 0, p * (logprobs - mine), 0.0).sum(-1)
