"""A language model together with a loss that is told what another model said."""

import torch
from transformers import PreTrainedModel

from ropewalk.model.fast_blocks import BlockPlan
from ropewalk.model.linear_nats import IGNORED
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.model.objectives.objective import Objective, ToldAnswers


class ToldLoss(NextTokenLoss):
    """The objective's loss where another model's opinion is given beside the targets, else the nats."""

    def __init__(
        self, model: PreTrainedModel, objective: Objective, plan: BlockPlan | None = None, *, recompute: bool = False
    ) -> None:
        super().__init__(model, plan, recompute=recompute)
        self._objective = objective

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        """As NextTokenLoss. `beside` are `ids` and `logprobs` of ToldAnswers, (b, T, k) and (b, T, k + 1)."""
        if not beside:
            return super().forward(inputs, targets)
        tokens, positions = inputs.unbind(-1) if inputs.dim() == 3 else (inputs, None)
        counts = targets != IGNORED
        ids, logprobs = (each[counts] for each in beside)
        told = ToldAnswers(targets[counts], ids, logprobs, _documents(tokens, positions)[counts])
        return self._objective(self.logits_at(tokens, counts.nonzero(), positions), told)


def _documents(tokens: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """A number for the document of each token, (b, T); those of every row begin with an even one."""
    batch, length = tokens.shape
    rows = 2 * length * torch.arange(batch, device=tokens.device)[:, None]
    if positions is None:
        return rows.expand(batch, length)
    return rows + (positions == 0).cumsum(-1) - 1
