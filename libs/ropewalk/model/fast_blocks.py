"""The blocks of a Qwen3 or Llama model as one function of tensors, which a compiler turns into few kernels.

The weights stay where they are, under their names and in fp32; here they are cast on the way into a product. What
transformers does around the blocks (masks, caches, hooks) costs a GPU a wait in every call and is left out: training
sees whole windows, each token all before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from ropewalk.model.adapted import Matrix, adapted_products, matrix_of
from ropewalk.model.float8 import Float8Product
from ropewalk.model.linear_nats import IGNORED, LinearNats, nats_and_slopes, slopes_in_place

_FAMILIES = ("qwen3", "llama", "mistral")
_FUSED_WIDTH = 1024  # up to here one wide product is faster than three narrow ones, in spite of joining the weights


class _Sight(NamedTuple):
    """Where tokens are, as cosines and sines, (T or b x T, 1, D/2) fp32, and which others each sees; None: all before.

    `mask` is (b, 1, T, T) bool.
    """

    cosines: torch.Tensor
    sines: torch.Tensor
    mask: torch.Tensor | None = None


class _Weights(NamedTuple):
    """Of one block. Norms (C,) or (D,); those of queries and keys only Qwen3 has."""

    norm: torch.Tensor
    query: Matrix
    key: Matrix
    value: Matrix
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    output: Matrix
    mlp_norm: torch.Tensor
    gate: Matrix
    up: Matrix
    down: Matrix


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """How blocks are computed. `compiled`: into kernels of their own, for one shape of input."""

    dtype: torch.dtype
    fp8: bool = False
    compiled: bool = False


@dataclass(frozen=True, kw_only=True)
class _Constants:
    head_dim: int
    epsilon: float
    fp8: bool


def why_not_fast(model: PreTrainedModel) -> str:
    """The first thing about a model that these blocks cannot do; empty if they compute it faithfully."""
    config = model.config
    if config.model_type not in _FAMILIES:
        return f"its family is {config.model_type}, not {' or '.join(_FAMILIES)}"
    kinds = getattr(config, "layer_types", None) or ()
    if any(kind != "full_attention" for kind in kinds) or getattr(config, "sliding_window", None):
        return "it has window attention"
    if any(name.endswith(".bias") for name, _ in model.named_parameters()):
        return "it has biases"
    if config.hidden_act != "silu" or config.attention_dropout:
        return "it has another activation than silu, or dropout"
    return ""


class FastBlocks:
    """Computes the loss of a model whose blocks it has taken over. The model's modules stay callable one by one."""

    def __init__(self, model: PreTrainedModel, plan: BlockPlan, *, recompute: bool = False) -> None:
        config = model.config
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        constants = _Constants(head_dim=head_dim, epsilon=config.rms_norm_eps, fp8=plan.fp8)
        compiled = partial(torch.compile, dynamic=False) if plan.compiled else _as_it_is
        compute, self._normed = compiled(_block), compiled(_normed)
        self._slopes_of = compiled(nats_and_slopes) if plan.compiled else slopes_in_place
        self._chooses = not plan.compiled  # kernels are made for one number of rows
        self._trunk, self._head, self._dtype = model.model, model.lm_head, plan.dtype
        self._rotations: dict[int, _Sight] = {}
        self._epsilon, self._recompute = config.rms_norm_eps, recompute
        for block in self._trunk.layers:  # called as a module, so that a wrapper's hooks fetch its weights first
            block.forward = partial(_run_block, compute, block, constants)

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """(b, T) each -> the loss in nats, summed over the targets that count, fp32.

        `positions` are those of tokens in their documents: attention stays within these.
        """
        hidden, wanted = self._hidden(inputs, positions).flatten(0, 1), targets.flatten()
        if self._chooses and not (counted := wanted != IGNORED).all():
            places = counted.nonzero()[:, 0]
            hidden, wanted = hidden.index_select(0, places), wanted[places]
        return LinearNats.apply(hidden, self._head.weight, wanted, self._slopes_of)

    def logits(self, inputs: torch.Tensor, places: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Inputs (b, T) and n places, (n, 2): a row and a place in it each -> the logits there, (n, V) fp32."""
        hidden = self._hidden(inputs, positions)[places[:, 0], places[:, 1]]  # (n, C)
        return F.linear(hidden, self._head.weight.to(hidden.dtype)).float()

    def _hidden(self, inputs: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """(b, T) -> (b, T, C), after the last norm."""
        hidden = F.embedding(inputs, self._trunk.embed_tokens.weight).to(self._dtype)  # (b, T, C)
        sight = self._rotation(hidden) if positions is None else self._within_documents(hidden, positions)
        for block in self._trunk.layers:
            if self._recompute and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, sight, use_reentrant=False)
            else:
                hidden = block(hidden, sight)
        return self._normed(hidden, self._trunk.norm.weight, self._epsilon)

    def _within_documents(self, hidden: torch.Tensor, positions: torch.Tensor) -> _Sight:
        cosines, sines = self._trunk.rotary_emb(hidden.float(), positions)  # (b, T, D), both halves alike
        half = cosines.shape[-1] // 2
        documents = (positions == 0).cumsum(-1)  # (b, T)
        mask = (documents[:, :, None] == documents[:, None, :]).tril()[:, None]
        return _Sight(cosines[:, :, None, :half], sines[:, :, None, :half], mask)

    def _rotation(self, hidden: torch.Tensor) -> _Sight:
        """Cosines and sines of all positions, (T, 1, D/2) fp32. Computed once per length."""
        length = hidden.shape[1]
        if length not in self._rotations:
            positions = torch.arange(length, device=hidden.device)[None]
            cosines, sines = self._trunk.rotary_emb(hidden.float(), positions)  # (1, T, D), both halves alike
            half = cosines.shape[-1] // 2
            self._rotations[length] = _Sight(cosines[0, :, None, :half], sines[0, :, None, :half])
        return self._rotations[length]


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Not compiled: what a test compares with, and faster where every shape comes once."""
    return function


def _run_block(
    compute: Callable[..., torch.Tensor],
    block: torch.nn.Module,
    constants: _Constants,
    hidden: torch.Tensor,
    sight: _Sight,
) -> torch.Tensor:
    """The block's weights are looked up at every call: a wrapper may have swapped them for gathered ones."""
    attention, mlp = block.self_attn, block.mlp
    weights = _Weights(
        norm=block.input_layernorm.weight,
        query=matrix_of(attention.q_proj),
        key=matrix_of(attention.k_proj),
        value=matrix_of(attention.v_proj),
        query_norm=_weight_of(attention, "q_norm"),
        key_norm=_weight_of(attention, "k_norm"),
        output=matrix_of(attention.o_proj),
        mlp_norm=block.post_attention_layernorm.weight,
        gate=matrix_of(mlp.gate_proj),
        up=matrix_of(mlp.up_proj),
        down=matrix_of(mlp.down_proj),
    )
    return compute(hidden, sight, weights, constants)


def _weight_of(module: torch.nn.Module, name: str) -> torch.Tensor | None:
    part = getattr(module, name, None)
    return part.weight if part is not None else None


def _block(hidden: torch.Tensor, sight: _Sight, weights: _Weights, constants: _Constants) -> torch.Tensor:
    """One block: (b, T, C) -> (b, T, C)."""
    products = partial(_products, fp8=constants.fp8)
    batch, length, _ = hidden.shape
    x = _normed(hidden, weights.norm, constants.epsilon)
    query, key, value = (
        each.view(batch, length, -1, constants.head_dim)  # (b, T, H, D)
        for each in products(x, weights.query, weights.key, weights.value)
    )
    if weights.query_norm is not None and weights.key_norm is not None:
        query = _normed(query, weights.query_norm, constants.epsilon)
        key = _normed(key, weights.key_norm, constants.epsilon)
    query, key = _rotated(query, sight), _rotated(key, sight)
    mixed = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=sight.mask,
        is_causal=sight.mask is None,
        enable_gqa=True,
    )
    (back,) = products(mixed.transpose(1, 2).flatten(2), weights.output)
    hidden = hidden + back
    x = _normed(hidden, weights.mlp_norm, constants.epsilon)
    gate, up = products(x, weights.gate, weights.up)
    (back,) = products(F.silu(gate) * up, weights.down)
    return hidden + back


def _products(x: torch.Tensor, *matrices: Matrix, fp8: bool) -> list[torch.Tensor]:
    """`x` (b, T, K) times each matrix (N, K), in the type of x. Adapters are not computed in 8 bits."""
    if any(matrix.down is not None for matrix in matrices):
        return adapted_products(x, matrices)
    if fp8:
        flat = x.flatten(0, 1)
        return [Float8Product.apply(flat, matrix.weight).unflatten(0, x.shape[:2]) for matrix in matrices]
    cast = [matrix.weight.to(x.dtype) for matrix in matrices]
    if len(cast) == 1 or x.shape[-1] > _FUSED_WIDTH:
        return [F.linear(x, matrix) for matrix in cast]
    return list(F.linear(x, torch.cat(cast)).split([matrix.shape[0] for matrix in cast], dim=-1))


def _normed(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMSNorm over the last axis, inside in fp32."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * weight.float()).to(x.dtype)


def _rotated(x: torch.Tensor, sight: _Sight) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864) in the layout of Llama: the halves of a head are the two coordinates."""
    cosines, sines = sight.cosines, sight.sines
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1).to(x.dtype)
