"""Whole tensors from the parts that ranks store and back, with one collective for many tensors.

FSDP2 splits a parameter by rows, ZeRO-3 by elements, ZeRO-1 and 2 all parameters laid end to end. In every case a
rank stores one run of a flattened tensor, and small models spend more on collectives than on bytes: so here all runs
travel in one flat buffer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor


@dataclass(frozen=True, kw_only=True)
class TensorLayout:
    """Where a tensor of `shape` lies: `runs[r]` are the flat elements (from, to) on rank r of `group`.

    No runs: every rank stores it whole.
    """

    shape: torch.Size
    runs: tuple[tuple[int, int], ...] = ()
    rank: int = 0
    group: dist.ProcessGroup | None = None

    def mine(self, whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """What this rank stores of `whole`, in the form of the part `like`. Copies nothing if `whole` is contiguous."""
        if not self.runs:
            return whole
        first, last = self.runs[self.rank]
        return whole.reshape(-1)[first:last].view(like.shape)


def layout_of(tensor: torch.Tensor) -> TensorLayout:
    """Of a plain tensor, or of one that FSDP2 has split by rows over the last dimension of its mesh."""
    if not isinstance(tensor, DTensor):
        return TensorLayout(shape=tensor.shape)
    mesh, last = tensor.device_mesh, tensor.device_mesh.ndim - 1
    num_ranks, width = mesh.size(last), tensor.shape[1:].numel()
    rows = -(-tensor.shape[0] // num_ranks)  # of a rank: `torch.chunk`, the rule of Shard(0)
    (runs,) = end_to_end([tensor.shape.numel()], rows * width, num_ranks)
    return TensorLayout(shape=tensor.shape, runs=runs, rank=mesh.get_local_rank(last), group=mesh.get_group(last))


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """The part of `tensor` that this rank stores, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def end_to_end(counts: Sequence[int], size: int, world_size: int) -> list[tuple[tuple[int, int], ...]]:
    """The runs of tensors of so many elements that lie end to end, each rank storing `size` elements of the row."""
    result, begin = [], 0
    for count in counts:
        bounds = [min(max(rank * size - begin, 0), count) for rank in range(world_size + 1)]
        result.append(tuple(pairwise(bounds)))
        begin += count
    return result


def gather(parts: Sequence[torch.Tensor], layouts: Sequence[TensorLayout]) -> list[torch.Tensor]:
    """Whole tensors from this rank's `parts`. A collective if any is split; all splits are over the same ranks.

    Tensors that are whole already come back as they are, not copied.
    """
    result = list(parts)
    split = [index for index, layout in enumerate(layouts) if layout.runs]
    if not split:
        return result
    lengths = [[last - first for first, last in layouts[index].runs] for index in split]  # (tensor, rank)
    totals = [sum(of_rank) for of_rank in zip(*lengths, strict=True)]
    flat = torch.cat([parts[index].reshape(-1) for index in split])
    if flat.numel() < max(totals):
        flat = torch.nn.functional.pad(flat, (0, max(totals) - flat.numel()))
    everyone = flat.new_empty(len(totals) * flat.numel())
    dist.all_gather_single(everyone, flat, group=layouts[split[0]].group)
    of_ranks = [
        buffer[:total].split([length[rank] for length in lengths])
        for rank, (buffer, total) in enumerate(zip(everyone.chunk(len(totals)), totals, strict=True))
    ]
    for index, pieces in zip(split, zip(*of_ranks, strict=True), strict=True):
        filled = [piece for piece in pieces if piece.numel()]  # of one rank alone: no copy
        result[index] = (filled[0] if len(filled) == 1 else torch.cat(pieces)).view(layouts[index].shape)
    return result


def gather_by_pieces(
    parts: Mapping[str, torch.Tensor], layouts: Mapping[str, TensorLayout], num_elements: int
) -> Iterator[dict[str, torch.Tensor]]:
    """As `gather`, so many elements at a time (and at least one tensor): bounds what is in memory twice."""
    pieces: list[list[str]] = []
    room = 0
    for name in parts:
        room -= layouts[name].shape.numel()
        if not pieces or room < 0:
            pieces.append([])
            room = num_elements - layouts[name].shape.numel()
        pieces[-1].append(name)
    for names in pieces:
        yield dict(zip(names, gather([parts[n] for n in names], [layouts[n] for n in names]), strict=True))
