"""A language model together with its loss, as one module that can be wrapped, sharded and compiled."""

import torch
from transformers import PreTrainedModel

from ropewalk.model.fast_blocks import BlockPlan, FastBlocks, why_not_fast
from ropewalk.model.linear_nats import IGNORED


class NextTokenLoss(torch.nn.Module):
    """The model and what it is trained on: how badly it predicts the next token, in nats.

    With a plan the blocks are computed as it says, if they can be; else as transformers does, in the plan's type.
    `recompute`: the backward pass computes the inside of every block again instead of finding it kept.
    """

    def __init__(self, model: PreTrainedModel, plan: BlockPlan | None = None, *, recompute: bool = False) -> None:
        super().__init__()
        self.model = model
        if recompute:
            model.activation_checkpointing_enable()
        self._fast = (
            FastBlocks(model, plan, recompute=recompute) if plan is not None and not why_not_fast(model) else None
        )
        self._dtype = plan.dtype if plan is not None else torch.float32

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum over the targets that count, fp32. `inputs` and `targets` are (b, T).

        `inputs` of (b, T, 2) have beside each token its place in its document, which attention then does not leave.

        `targets` of (b, 1) beside longer inputs are places: then the logits there are returned, (b, V) fp32. Both
        ways lead through here, because what wraps a model for many ranks does its work around this call.
        """
        tokens, positions = inputs.unbind(-1) if inputs.dim() == 3 else (inputs, None)
        if targets.shape[1] != inputs.shape[1]:
            return self._logits(tokens, targets, positions)
        if self._fast is not None:
            return self._fast.nats(tokens, targets, positions)
        logits = self._all_logits(tokens, positions)
        # in bf16 a loss near 10 comes in steps of 1/16, which the guard and the curve would show
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def _logits(self, tokens: torch.Tensor, places: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
        if self._fast is not None:
            return self._fast.logits(tokens, places, positions)
        logits = self._all_logits(tokens, positions)
        return logits[torch.arange(len(tokens), device=tokens.device), places[:, 0]].float()

    def _all_logits(self, tokens: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
        """(b, T, V). Where positions begin anew, transformers finds the border of a document."""
        given = {} if positions is None else {"position_ids": positions}
        with torch.autocast(tokens.device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: torch.Tensor = self.model(input_ids=tokens, use_cache=False, **given).logits
        return logits
