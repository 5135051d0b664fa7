"""Direct preference optimisation (arXiv 2305.18290): of two answers the chosen one gains on the rejected one, measured
from where a reference model stood.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ropewalk.model.objectives.objective import ToldAnswers


@dataclass(frozen=True, kw_only=True)
class Preference:
    """-log sigmoid(beta * ((c - c_ref) - (r - r_ref))), where c and r are the log-probabilities of whole answers.

    In every window the documents come in pairs, first the chosen answer and then the rejected one.
    """

    beta: float

    def __call__(self, logits: torch.Tensor, told: ToldAnswers) -> torch.Tensor:
        """See Objective: summed over the pairs."""
        nats = F.cross_entropy(logits, told.targets, reduction="none")
        gains = -nats.double() - told.logprobs[:, 0].double()  # hundreds of tokens add up to one number
        signs = 1 - 2 * (told.documents % 2)
        pairs, places = torch.unique(told.documents // 2, return_inverse=True)
        margins = gains.new_zeros(len(pairs)).index_add(0, places, signs * gains)
        return preference_loss(margins, self.beta).sum().float()


def preference_loss(margins: torch.Tensor, beta: float) -> torch.Tensor:
    """Of each pair, by how much more than the reference's the chosen answer is preferred, in nats."""
    return -F.logsigmoid(beta * margins)
