"""Attention of a batch whose rows begin alike: keys and values of the beginning are kept once, not for every row.

The arithmetic is that of one softmax over both parts (the "shared prefix" of Hydragen, arXiv 2402.05099), in the
type of the model.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_NAME = "shared_beginning"
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")  # hand their keyword arguments on to the attention


@dataclass(frozen=True)
class Beginning:
    """What all rows have read: its number of tokens, and keys and values (1, H, S, D) of every layer."""

    length: int
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]


def can_share(model: PreTrainedModel) -> bool:
    """Whether the model's attention can be told of a beginning; from here on it can be, if so."""
    config = model.config.get_text_config()
    if getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True):
        return False  # a window would have to count the beginning
    if config.model_type not in _FAMILIES:
        return False
    model.set_attn_implementation(_NAME)
    return True


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    beginning: Beginning | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """`query` (B, Hq, Q, D) over `key` and `value` (B, H, T, D) and what is before them -> (B, Q, Hq, D).

    The mask, (B, 1, Q, T) bool, is of `key` alone; None: all before.
    """
    if beginning is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    keys, values = beginning.layers[module.layer_idx]
    if attention_mask is None:
        attention_mask = torch.ones(1, 1, query.shape[2], key.shape[2], dtype=torch.bool).tril(
            key.shape[2] - query.shape[2]
        )
    if query.shape[2] == 1:
        return _attend_one(query, (keys, key), (values, value), attention_mask), None
    # Reading a prompt: no cache holds these copies, and torch's kernel keeps no scores.
    rows = [each.expand(len(query), -1, -1, -1) for each in (keys, values)]
    key, value = torch.cat((rows[0], key), 2), torch.cat((rows[1], value), 2)
    mask = F.pad(attention_mask, (beginning.length, 0), value=True)
    return sdpa_attention_forward(module, query, key, value, mask, **kwargs)


def _attend_one(
    query: torch.Tensor,
    keys: tuple[torch.Tensor, torch.Tensor],
    values: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor,
) -> torch.Tensor:
    """One token of every row: `query` (B, Hq, 1, D), the shared part first -> (B, 1, Hq, D)."""
    (shared, own), batch, heads, width = keys, len(query), keys[0].shape[1], query.shape[-1]
    grouped = query.view(batch, heads, -1, width) * width**-0.5  # (B, H, G, D)
    together = grouped.transpose(0, 1).reshape(heads, -1, width)  # (H, B x G, D)
    before = (together @ shared[0].transpose(1, 2)).view(heads, batch, -1, shared.shape[2]).transpose(0, 1)
    after = (grouped @ own.transpose(2, 3)).masked_fill(~mask, -torch.inf)  # (B, H, G, T)
    weights = torch.cat((before, after), -1).softmax(-1)
    seen = weights[..., : shared.shape[2]].transpose(0, 1).reshape(heads, -1, shared.shape[2])  # (H, B x G, S)
    mixed = (seen @ values[0][0]).view(heads, batch, -1, width).transpose(0, 1)
    return (mixed + weights[..., shared.shape[2] :] @ values[1]).reshape(batch, 1, -1, width)


ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, sdpa_mask)
