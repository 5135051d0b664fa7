"""Muon for the matrices of the blocks, AdamW for embedding, head and norms, behind one optimizer.

Muon replaces a matrix's update by its nearest orthogonal matrix (Keller Jordan 2024; Newton-Schulz of order five).
torch.optim.Muon runs that in bf16, which is slow on most CPUs: there it is fp32 here, and on a GPU bf16 with the
coefficients of Polar Express. The matrices are dealt out over the ranks, equal shapes are batched, and the results
travel in one collective. Works on plain tensors that are equal on every rank (DDP), on DTensors split by rows (FSDP2)
and on runs of flattened tensors (ZeRO).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist

from ropewalk.model.sharding import TensorLayout, gather, layout_of, local_part

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# of the first to the last iteration, for singular values from 1e-3 of the norm on (Polar Express, arXiv 2505.16932)
_POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
_MARGIN = 1.02  # the norm is taken a little too large, so that rounding in bf16 cannot bring a value above 1
_MOMENTUM = 0.95
_Orthogonalise = Callable[[torch.Tensor], torch.Tensor]
_BETAS = (0.8, 0.95)
_EPSILON = 1e-10


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak learning rates; the schedule's factor multiplies both. Weight decay acts on matrices only.

    Without `uses_muon` AdamW moves everything at its rate.
    """

    matrix_lr: float
    adam_lr: float
    weight_decay: float
    uses_muon: bool = True


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrices, about: singular values end between 0.7 and 1.2. (N, R, C) -> same."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


def orthogonalise_in_bf16(matrices: torch.Tensor) -> torch.Tensor:
    """As `orthogonalise`, with three fused products an iteration; singular values end within 0.1 of 1. (N, R, C)."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * _MARGIN + 1e-6)
    for a, b, c in _POLAR_EXPRESS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def is_block_matrix(name: str, shape: torch.Size) -> bool:
    """Whether Muon moves this parameter."""
    return len(shape) == 2 and "embed_tokens" not in name and "lm_head" not in name


class MuonAdamW:
    """Optimizer over named parameters. Its state has one name per tensor, independent of any wrapper.

    `layouts` says of which whole tensors the parameters are parts, where they do not tell themselves. `use_muon=False`
    moves everything with AdamW (adapters). `in_bf16` computes Muon's updates in bf16; the weights, and all state, are
    fp32 all the same.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, torch.nn.Parameter]],
        rates: Rates,
        *,
        layouts: Mapping[str, TensorLayout] | None = None,
        use_muon: bool = True,
        in_bf16: bool = False,
    ) -> None:
        self._parameters = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        self.layouts = layouts or {name: layout_of(parameter) for name, parameter in self._parameters.items()}
        use_muon = use_muon and rates.uses_muon
        self._rates = rates
        self._orthogonalise = orthogonalise_in_bf16 if in_bf16 else orthogonalise
        self._matrices = [n for n in self._parameters if use_muon and is_block_matrix(n, self.layouts[n].shape)]
        self._others = [name for name in self._parameters if name not in set(self._matrices)]
        self._decayed = [n for n in self._others if is_block_matrix(n, self.layouts[n].shape)]
        self._state: dict[str, torch.Tensor] = {}
        self.state_layouts: dict[str, TensorLayout] = {}
        moments = [(name, "momentum") for name in self._matrices]
        moments += [(name, moment) for name in self._others for moment in ("exp_avg", "exp_avg_sq")]
        for name, moment in moments:
            self._state[f"{name}.{moment}"] = torch.zeros_like(local_part(self._parameters[name]))
            self.state_layouts[f"{name}.{moment}"] = self.layouts[name]
        self.num_updates = 0  # bias correction counts applied updates

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """This rank's part of the state: live tensors."""
        return self._state

    def load(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """Take over a state of whole tensors. Raises KeyError for a missing one."""
        for name, part in self._state.items():
            part.copy_(self.state_layouts[name].mine(tensors[name], part))
        self.num_updates = num_updates

    def gradients(self) -> list[torch.Tensor]:
        """This rank's part of every gradient that exists."""
        return [local_part(p.grad) for p in self._parameters.values() if p.grad is not None]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Apply one update with both rates times `scale`. A collective when there is more than one rank."""
        self.num_updates += 1
        self._step_matrices(self._rates.matrix_lr * scale)
        self._step_others(self._rates.adam_lr * scale)

    def _step_matrices(self, rate: float) -> None:
        if not self._matrices:
            return
        parameters = [self._parameters[name] for name in self._matrices]
        gradients = [local_part(parameter.grad) for parameter in parameters]
        momenta = [self._state[f"{name}.momentum"] for name in self._matrices]
        layouts = [self.layouts[name] for name in self._matrices]
        torch._foreach_lerp_(momenta, gradients, 1.0 - _MOMENTUM)
        looked_ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)  # Nesterov
        updates = _share(gather(looked_ahead, layouts), self._orthogonalise)
        local = [local_part(parameter) for parameter in parameters]
        torch._foreach_mul_(local, 1.0 - rate * self._rates.weight_decay)
        for layout, whole, part in zip(layouts, updates, local, strict=True):
            factor = max(1.0, whole.shape[0] / whole.shape[1]) ** 0.5  # equal RMS for tall matrices
            part.add_(layout.mine(whole, part), alpha=-rate * factor)

    def _step_others(self, rate: float) -> None:
        if not self._others:
            return
        parameters = [local_part(self._parameters[name]) for name in self._others]
        if self._decayed and self._rates.weight_decay:
            decayed = [local_part(self._parameters[name]) for name in self._decayed]
            torch._foreach_mul_(decayed, 1.0 - rate * self._rates.weight_decay)
        gradients = [local_part(self._parameters[name].grad) for name in self._others]
        first = [self._state[f"{name}.exp_avg"] for name in self._others]
        second = [self._state[f"{name}.exp_avg_sq"] for name in self._others]
        beta1, beta2 = _BETAS
        torch._foreach_lerp_(first, gradients, 1.0 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1.0 - beta2)
        divisor = torch._foreach_div(second, 1.0 - beta2**self.num_updates)
        torch._foreach_sqrt_(divisor)
        torch._foreach_add_(divisor, _EPSILON)
        torch._foreach_addcdiv_(parameters, first, divisor, -rate / (1.0 - beta1**self.num_updates))


def _share(matrices: list[torch.Tensor], orthogonalise: _Orthogonalise) -> list[torch.Tensor]:
    """Orthogonalise all; with several ranks each does its share. The inputs are equal on every rank."""
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if world_size == 1:
        return _by_shape(matrices, orthogonalise)
    by_size = sorted(range(len(matrices)), key=lambda index: -matrices[index].numel())
    owner = {index: place % world_size for place, index in enumerate(by_size)}
    mine = [index for index in by_size if owner[index] == rank]
    parts = [matrix.new_empty(0) for matrix in matrices]
    for index, done in zip(mine, _by_shape([matrices[index] for index in mine], orthogonalise), strict=True):
        parts[index] = done.to(matrices[index].dtype)
    layouts = []
    for index, matrix in enumerate(matrices):
        runs = [(0, matrix.numel() if owner[index] == each else 0) for each in range(world_size)]
        layouts.append(TensorLayout(shape=matrix.shape, runs=tuple(runs), rank=rank))
    return gather(parts, layouts)


def _by_shape(matrices: list[torch.Tensor], orthogonalise: _Orthogonalise) -> list[torch.Tensor]:
    """Orthogonalise, one batched product per shape; a tall matrix joins the batch of its transpose."""
    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        rows, columns = matrix.shape
        batches[(min(rows, columns), max(rows, columns))].append(index)
    result: list[torch.Tensor] = list(matrices)
    for (rows, _), indices in batches.items():
        wide = torch.stack([matrices[i] if matrices[i].shape[0] == rows else matrices[i].mT for i in indices])
        for index, done in zip(indices, orthogonalise(wide), strict=True):
            result[index] = done if matrices[index].shape[0] == rows else done.mT
    return result
