"""The whole state of a model that is spread over ranks, copied out for a checkpoint. The same for every strategy."""

from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist

from ropewalk.model.muon import MuonAdamW
from ropewalk.model.sharding import TensorLayout, gather_by_pieces
from ropewalk.trainer.adapters.worker.device import HostCopies
from ropewalk.trainer.adapters.worker.strategy import Snapshot

_AT_ONCE = 1 << 28  # elements: 1 GB, so that a GPU needs a few GB for a snapshot and not three times the state


def take_snapshot(
    weights: Mapping[str, torch.Tensor], layouts: Mapping[str, TensorLayout], optimizer: MuonAdamW, copies: HostCopies
) -> Snapshot:
    """Copy this rank's parts of all `weights`, frozen ones too, and of the optimizer's state. A collective.

    Whole tensors are copied by rank 0 alone, parts are gathered by all.
    """
    live = {**weights, **optimizer.state}  # a moment's name is a weight's and a suffix
    whole: dict[str, torch.Tensor] = {}
    waits: list[Callable[[], None]] = []
    lies = {**layouts, **optimizer.state_layouts}
    for piece in gather_by_pieces(live, lies, _AT_ONCE):
        if dist.get_rank() != 0:
            continue
        for is_live in (True, False):
            part = {name: tensor for name, tensor in piece.items() if is_live != bool(lies[name].runs)}
            copied, wait = copies.take(part, live=is_live)
            whole |= copied
        waits.append(wait)
        if len(waits) > 1:
            waits[-2]()  # the device may hold two pieces, not more
    return Snapshot(
        weights={name: whole[name] for name in weights if whole},
        optimizer={name: whole[name] for name in optimizer.state if whole},
        num_updates=optimizer.num_updates,
        wait=waits[-1] if waits else _nothing,
    )


def _nothing() -> None:
    """There is nothing to wait for."""
