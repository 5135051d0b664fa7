"""A language model together with its loss, as one module that can be wrapped, sharded and compiled."""

import torch
from transformers import PreTrainedModel

IGNORED = -100  # the target value that does not count in the loss


class NextTokenLoss(torch.nn.Module):
    """The model and what it is trained on: how badly it predicts the next token, in nats."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model = model
        self._dtype = dtype

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum over the targets that count, fp32. `inputs` and `targets` are (b, T)."""
        with torch.autocast(inputs.device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits = self.model(input_ids=inputs, use_cache=False).logits  # (b, T, V)
        # in bf16 a loss near 10 comes in steps of 1/16, which the guard and the curve would show
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
