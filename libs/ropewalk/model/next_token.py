"""A language model together with its loss, as one module that can be wrapped, sharded and compiled."""

from inspect import signature

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
        self._can_choose = "logits_to_keep" in signature(model.forward).parameters

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum over the targets that count, fp32. `inputs` and `targets` are (b, T).

        `inputs` of (b, T, 2) have beside each token its place in its document, which attention then does not leave.

        `targets` of (b, 1) beside longer inputs are places: then the logits there are returned, (b, V) fp32. Both
        ways lead through here, because what wraps a model for many ranks does its work around this call. So another
        objective is a subclass with its own `forward`, which asks `logits_at`.
        """
        tokens, positions = inputs.unbind(-1) if inputs.dim() == 3 else (inputs, None)
        if targets.shape[1] != inputs.shape[1]:
            rows = torch.arange(len(tokens), device=tokens.device)
            return self.logits_at(tokens, torch.stack((rows, targets[:, 0]), dim=-1), positions)
        if self._fast is not None:
            return self._fast.nats(tokens, targets, positions)
        counted = targets != IGNORED
        if counted.all():
            logits = self._logits(tokens, positions).flatten(0, 1).float()
        else:
            logits = self.logits_at(tokens, counted.nonzero(), positions)
        # in bf16 a loss near 10 comes in steps of 1/16, which the guard and the curve would show
        return torch.nn.functional.cross_entropy(logits, targets[counted], reduction="sum")

    def logits_at(
        self, tokens: torch.Tensor, places: torch.Tensor, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tokens (b, T) and n places, (n, 2): a row and a place in it each -> the logits there, (n, V) fp32.

        With gradients where they are on. The head, a large part of the work, is computed there only. `positions`
        (b, T) are those of tokens in their documents, as in `forward`. Call it inside `forward` only.
        """
        if self._fast is not None:
            return self._fast.logits(tokens, places, positions)
        columns, where = places[:, 1].unique(return_inverse=True)
        logits = self._logits(tokens, positions, columns if self._can_choose else None)
        return logits[places[:, 0], where if self._can_choose else places[:, 1]].float()

    def _logits(
        self, tokens: torch.Tensor, positions: torch.Tensor | None, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(b, T or columns, V). Where positions begin anew, transformers finds the border of a document."""
        given = {} if positions is None else {"position_ids": positions}
        if columns is not None:
            given["logits_to_keep"] = columns
        with torch.autocast(tokens.device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: torch.Tensor = self.model(input_ids=tokens, use_cache=False, **given).logits
        return logits
