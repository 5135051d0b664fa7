"""kill -9 of training workers at random instants: is the run afterwards the uninterrupted one, in every bit?

    python benchmarks/training/kills.py --out benchmarks/results/training_kills.json

Trainings of the size tiny with up to five kills each, aimed by chance at forward and backward, at the copy of a save,
at the writing and sealing of a checkpoint, at the load of the next attempt, or at nothing; one in twelve hits the fork
server too. 1 and 2 ranks under ddp, fsdp and ZeRO-2 below Ray, and 2 ranks under a private Ray. Each is compared with
a run of the same recipe that nobody disturbed: the bits of loss and gradient norm of every row that was reported, also
of steps that were taken again; the SHA-256 of every file of the last checkpoint but its ledger and metrics; the ledger
with the planned order of samples; the rows, each step of which must be there.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.killed_runs import kill_and_compare, sum_of
from parts.under_fire import hosts_of, job_in, quiet

from ropewalk.trainer.adapters.hosts import Hosts
from ropewalk.trainer.adapters.reports import TrainingJob

_STEPS, _EVERY = 90, 5
# strategy, ranks, under Ray, share of the kills
_CASES = (
    ("ddp", 1, False, 0.15),
    ("ddp", 2, False, 0.2),
    ("fsdp", 1, False, 0.1),
    ("fsdp", 2, False, 0.2),
    ("zero2", 1, False, 0.1),
    ("zero2", 2, False, 0.15),
    ("ddp", 2, True, 0.1),
)


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("below_ray", "under_ray"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine, began, random = describe(), time.monotonic(), Random(options.seed)
    progress = os.fdopen(os.dup(sys.stderr.fileno()), "w")
    quiet()
    rows = []
    for strategy, ranks, under_ray, share in _CASES:
        if options.only in (None, "under_ray" if under_ray else "below_ray"):
            try:
                rows.append(_case(strategy, ranks, under_ray, round(share * options.kills), random))
            except BaseException:
                traceback.print_exc(file=progress)  # the usual place is for what dying ranks say
                raise
            print(json.dumps(rows[-1]), file=progress, flush=True)
    result = {"machine": machine, "seed": options.seed, "seconds": round(time.monotonic() - began), **sum_of(rows)}
    text = json.dumps(result, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def _case(strategy: str, ranks: int, under_ray: bool, num_kills: int, random: Random) -> dict[str, Any]:
    told = {"strategy": strategy, "ranks": ranks, "under_ray": under_ray}
    with _ground(strategy, ranks, under_ray) as (job, hosts):
        return told | kill_and_compare(job, hosts, num_kills, random)


@contextmanager
def _ground(strategy: str, ranks: int, under_ray: bool) -> Iterator[tuple[TrainingJob, Hosts]]:
    with tempfile.TemporaryDirectory(prefix="ropewalk-kills-") as name:
        job = job_in(Path(name), _EVERY, strategy=strategy, num_workers=ranks, steps=_STEPS)
        job = replace(job, run_id="undisturbed")
        with hosts_of(job, under_ray=under_ray) as hosts:
            yield job, hosts


if __name__ == "__main__":
    main()
