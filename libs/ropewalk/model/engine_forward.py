"""The forward pass over slots: each running request owns one row of a mapped key/value cache.

The greedy tokens of a request must not depend on its neighbours. Matrix libraries pick their kernel, and with it the
order of additions, by the number of rows; so decoding always multiplies a multiple of ROWS rows, the unused ones
being repetitions, and attention runs over whole blocks of positions, where masked ones add exact zeros.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.model.engine_cache import MappedCache
from ropewalk.model.engine_weights import Architecture, Layer, Weights

ROWS = 8  # batch rows of every decoding multiplication are a multiple of this
_BLOCK = 64  # positions attended to are a multiple of this


class SlotDecoder:
    """Weights and cache. Slots 0..n-1 are in use; the caller keeps them dense with `move`."""

    def __init__(self, shape: Architecture, weights: Weights, num_slots: int) -> None:
        self.shape = shape
        self._weights = weights
        length = -(-shape.context_length // _BLOCK) * _BLOCK
        size = (shape.num_layers, num_slots, shape.num_kv_heads, length, shape.head_dim)
        self._caches = (MappedCache(*size), MappedCache(*size))
        self._keys, self._values = (cache.values for cache in self._caches)  # (L, S, Hkv, T, D)
        frequencies = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(shape.context_length).float(), frequencies)
        self._cos = torch.cat([angles.cos(), angles.cos()], -1)  # (C, D)
        self._sin = torch.cat([-angles.sin(), angles.sin()], -1)  # sign of rotate_half folded in

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot to another."""
        self._keys[:, target, :, :length] = self._keys[:, source, :, :length]
        self._values[:, target, :, :length] = self._values[:, source, :, :length]

    def release(self, slot: int) -> None:
        """Give back the memory of a slot that is not in use any more."""
        for cache in self._caches:
            cache.release(slot)

    @torch.inference_mode()
    def prefill(self, slot: int, prompt: list[int]) -> Tensor:
        """Read a whole prompt into a slot. Returns the logits after its last token, (1, V)."""
        shape, length = self.shape, len(prompt)
        cos, sin = self._cos[:length, None], self._sin[:length, None]
        hidden = self._weights.embedding[torch.tensor(prompt)]  # (P, E)
        for index, layer in enumerate(self._weights.layers):
            query, key, value = self._project(layer, hidden, cos, sin)  # (P, H, D)
            query, key, value = (part.transpose(0, 1) for part in (query, key, value))  # (H, P, D)
            self._keys[index, slot, :, :length] = key
            self._values[index, slot, :, :length] = value
            mixed = F.scaled_dot_product_attention(
                query[None], key[None], value[None], is_causal=True, enable_gqa=shape.num_heads != shape.num_kv_heads
            )[0]
            hidden = self._finish(layer, hidden, mixed.transpose(0, 1).reshape(length, -1))
        return self._logits(hidden[-1:].expand(ROWS, -1))[:1]

    @torch.inference_mode()
    def decode(self, tokens: list[int], positions: list[int]) -> Tensor:
        """One token for slots 0..n-1, written at `positions`. Returns logits, (n, V)."""
        count = len(tokens)
        padding = -count % ROWS
        rows = torch.tensor(tokens + tokens[-1:] * padding)
        places = torch.tensor(positions + positions[-1:] * padding)
        extent = -(-(max(positions) + 1) // _BLOCK) * _BLOCK
        visible = torch.arange(extent) <= places[:count, None]  # (n, T)
        mask = torch.zeros(count, 1, 1, extent).masked_fill_(~visible[:, None, None], float("-inf"))
        cos, sin = self._cos[places][:, None], self._sin[places][:, None]
        hidden = self._weights.embedding[rows]
        slots, places = torch.arange(count), places[:count]
        for index, layer in enumerate(self._weights.layers):
            query, key, value = self._project(layer, hidden, cos, sin)  # (R, H, D)
            self._keys[index][slots, :, places] = key[:count]
            self._values[index][slots, :, places] = value[:count]
            mixed = self._attend(index, query[:count], mask)
            hidden = self._finish(layer, hidden, F.pad(mixed, (0, 0, 0, padding)))
        return self._logits(hidden)[:count]

    def _project(self, layer: Layer, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.shape
        normed = F.rms_norm(hidden, (shape.hidden_size,), layer.input_norm, shape.rms_eps)
        heads = layer.qkv(normed).view(len(hidden), -1, shape.head_dim)
        query, key, value = heads.split([shape.num_heads, shape.num_kv_heads, shape.num_kv_heads], 1)
        if layer.query_norm is not None and layer.key_norm is not None:
            query = F.rms_norm(query, (shape.head_dim,), layer.query_norm, shape.rms_eps)
            key = F.rms_norm(key, (shape.head_dim,), layer.key_norm, shape.rms_eps)
        return _rotate(query, cos, sin), _rotate(key, cos, sin), value

    def _attend(self, index: int, query: Tensor, mask: Tensor) -> Tensor:
        """Attention of n queries over n slots; the query heads of a group are rows of one product."""
        shape, (count, extent) = self.shape, (len(query), mask.shape[-1])
        keys = self._keys[index, :count, :, :extent].flatten(0, 1)  # (n * Hkv, T, D)
        values = self._values[index, :count, :, :extent].flatten(0, 1)
        grouped = query.reshape(count * shape.num_kv_heads, -1, shape.head_dim)  # (n * Hkv, G, D)
        scores = torch.bmm(grouped * shape.head_dim**-0.5, keys.transpose(1, 2))
        scores = scores.view(count, shape.num_kv_heads, -1, extent) + mask
        return torch.bmm(scores.softmax(-1).flatten(0, 1), values).reshape(count, -1)

    def _finish(self, layer: Layer, hidden: Tensor, mixed: Tensor) -> Tensor:
        shape = self.shape
        hidden = hidden + layer.output(mixed)
        normed = F.rms_norm(hidden, (shape.hidden_size,), layer.post_norm, shape.rms_eps)
        gate, up = layer.gate_up(normed).chunk(2, -1)
        return hidden + layer.down(F.silu(gate) * up)

    def _logits(self, hidden: Tensor) -> Tensor:
        shape = self.shape
        normed = F.rms_norm(hidden, (shape.hidden_size,), self._weights.norm, shape.rms_eps)
        return F.linear(normed, self._weights.head)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions as in transformers: halves, not pairs (RoFormer, arXiv 2104.09864)."""
    half = heads.shape[-1] // 2
    return heads * cos + torch.cat([heads[..., half:], heads[..., :half]], -1) * sin
