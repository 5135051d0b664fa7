"""Finds the samples that kill the process that learns from them, by letting children of this process die of them.

A child is forked before the first backward pass, as after one autograd's threads would be missing in it. It takes
sample after sample and says which one it begins, so one child is enough for every sample that is deadly, and one more.
"""

import faulthandler
import logging
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist

from ropewalk.stages.child import die_with
from ropewalk.trainer.adapters.worker.batches import Batches
from ropewalk.trainer.adapters.worker.checkpoint import RunState
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.domain.poison import Suspect

logger = logging.getLogger(__name__)
Poison = Mapping[int, tuple[int, ...]]  # samples by step
Learn = Callable[[int], None]  # a forward and a backward pass over one sample
_PATIENCE_S = 60.0  # for all samples of a step; the peers wait for that long
_NO_MEMORY = 3  # the exit of a child that got none
_NO_DEATH = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)
_MEMORY_SHARE = 0.5  # of what is free


def leave_out_poison(
    job: WorkerJob, state: RunState, loss: torch.nn.Module, batches: Batches, device: Device
) -> tuple[RunState, Poison]:
    """Make the batches leave out what is known or found to be deadly. Returns the state that says so, and what is new.

    A collective, if there are suspects.
    """
    batches.left_out |= frozenset(state.left_out)
    poison: dict[int, tuple[int, ...]] = {}
    for suspect in job.suspects:
        if suspect.step >= state.step and (found := _poison_of(suspect, loss, batches, device)):
            poison[suspect.step] = found
            batches.left_out |= frozenset(found)
    return replace(state, left_out=tuple(sorted(batches.left_out))), poison


def _poison_of(suspect: Suspect, loss: torch.nn.Module, batches: Batches, device: Device) -> tuple[int, ...]:
    """Of all ranks, sorted. Beside a GPU no child can try anything: these are the samples of the whole step."""

    def learn(sample: int) -> None:
        inputs, targets = batches.window(sample)
        loss(torch.from_numpy(inputs)[None], torch.from_numpy(targets)[None]).backward()

    mine = [sample for sample in batches.mine(suspect.step) if sample not in batches.left_out]
    found = mine if suspect.whole or device.is_accelerator else deadly(mine, learn)
    everyone: list[list[int]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everyone, found)
    return tuple(sorted({sample for samples in everyone for sample in samples}))


def deadly(samples: Sequence[int], learn: Learn, patience_s: float = _PATIENCE_S) -> list[int]:
    """Those of the samples that end a process. What does not end in time is not among them."""
    found, left, deadline = [], list(samples), time.monotonic() + patience_s
    while left:
        num_begun, has_died = _in_child(left, learn, deadline)
        if not has_died or not num_begun:
            break
        found.append(left[num_begun - 1])
        logger.warning("sample %d ends the process that learns from it", found[-1])
        left = left[num_begun:]
    return found


def _in_child(samples: Sequence[int], learn: Learn, deadline: float) -> tuple[int, bool]:
    """How many samples a child began, and whether the last of these was its end."""
    ours, theirs = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _try_all(samples, learn, theirs, parent)
    os.close(theirs)
    num_begun = 0
    while in_time := bool(select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]):
        if not os.read(ours, 1):
            break
        num_begun += 1
    os.close(ours)
    if not in_time:
        logger.warning("samples of a suspected step were not tried in time")
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return num_begun, in_time and (code < 0 or code == _NO_MEMORY)


def _try_all(samples: Sequence[int], learn: Learn, begun: int, parent: int) -> NoReturn:
    """The child. An error that is no death was not what is looked for: the worker would have said it itself."""
    code = 1
    try:
        die_with(parent)
        faulthandler.disable()  # its death is no news
        torch.set_num_threads(1)  # others were lost in the fork
        _be_modest()
        for sample in samples:
            os.write(begun, b".")
            try:
                learn(sample)
            except _NO_DEATH as error:
                if "allocate memory" in str(error):
                    raise MemoryError from None
        code = 0
    except MemoryError:
        code = _NO_MEMORY
    finally:
        os._exit(code)


def _be_modest() -> None:
    """Take no memory that a worker needs, and be the first to go if the kernel needs some."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    free_kib = next(
        int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line
    )
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + int(_MEMORY_SHARE * free_kib * 1024), hard))
