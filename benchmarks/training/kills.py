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
import hashlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.strikes import Striker, aims_of
from parts.under_fire import hosts_of, job_in, quiet

from ropewalk.corpus.ledger import LEDGER, read_ledger, verify_run
from ropewalk.corpus.order import SampleOrder
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.training import StepMetrics, StepsCommitted
from ropewalk.storage.manifest import read_manifest
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints
from ropewalk.trainer.adapters.hosts import Hosts
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.checkpoint import STATE
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, StepsDone
from ropewalk.trainer.adapters.worker.progress import METRICS
from ropewalk.trainer.domain.recovery import Loss

_STEPS, _EVERY = 90, 5
_MOST_A_RUN = 5
_SERVERS = 1 / 12
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


@dataclass
class _Told:
    """What one training reported."""

    rows: list[StepMetrics] = field(default_factory=list)
    committed: list[StepsCommitted] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    frontier: int = -1

    def __call__(self, report: TrainingReport) -> None:
        match report:
            case FromWorkers(_, StepsDone(rows=rows)):
                self._add(rows)
            case FromWorkers(_, CheckpointWritten() as found) | (CheckpointWritten() as found):
                self._add(found.rows)
                if found.committed is not None:
                    self.committed.append(found.committed)
            case Loss():
                self.losses.append(report)

    def _add(self, rows: tuple[StepMetrics, ...]) -> None:
        self.rows += rows
        self.frontier = max([self.frontier, *(row.step for row in rows)])

    def bits(self) -> dict[int, set[tuple[str, str]]]:
        """Loss and gradient norm of each step in hexadecimal; more than one pair if attempts do not agree."""
        found: dict[int, set[tuple[str, str]]] = {}
        for row in self.rows:
            found.setdefault(row.step, set()).add((row.loss.hex(), row.grad_norm.hex()))
        return found


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
    result = {"machine": machine, "seed": options.seed, "seconds": round(time.monotonic() - began), **_sum(rows)}
    text = json.dumps(result, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    where: Counter[str] = Counter()
    for row in rows:
        where.update(row["where"])
    faults = [fault for row in rows for fault in row["faults"]]
    kills = sum(row["kills"] for row in rows)
    return {"kills": kills, "where": where, "faults": len(faults), "within_bar": not faults, "cases": rows}


def _case(strategy: str, ranks: int, under_ray: bool, num_kills: int, random: Random) -> dict[str, Any]:
    """One undisturbed run, then as many disturbed ones as it takes, all on the same hosts."""
    faults: list[str] = []
    told: dict[str, Any] = {"strategy": strategy, "ranks": ranks, "under_ray": under_ray}
    where: Counter[str] = Counter()
    kills, runs, servers, most, again = 0, 0, 0, 0, 0
    with _ground(strategy, ranks, under_ray) as (job, hosts):
        wanted, manifest = _run(job, hosts), _files(job)
        faults += [f"undisturbed: {fault}" for fault in _wrong(job, wanted, wanted, manifest)]
        while kills < num_kills and runs < num_kills:
            runs += 1
            each = replace(job, run_id=f"run-{runs}")
            striker, found = _disturbed(each, hosts, min(_MOST_A_RUN, num_kills - kills), random)
            faults += [f"{each.run_id}: {fault}" for fault in _wrong(each, found, wanted, manifest)]
            where.update(strike.where for strike in striker.strikes)
            kills += len(striker.strikes)
            most = max(most, len(striker.strikes))
            servers += sum(strike.server for strike in striker.strikes)
            again += sum(1 for _ in found.rows) - len(found.bits())
    counts = {"runs": runs, "kills": kills, "most_in_a_run": most, "fork_servers": servers, "rows_told_again": again}
    return told | counts | {"where": where, "faults": faults}


@contextmanager
def _ground(strategy: str, ranks: int, under_ray: bool) -> Iterator[tuple[TrainingJob, Hosts]]:
    with tempfile.TemporaryDirectory(prefix="ropewalk-kills-") as name:
        job = job_in(Path(name), _EVERY, strategy=strategy, num_workers=ranks, steps=_STEPS)
        job = replace(job, run_id="undisturbed")
        with hosts_of(job, under_ray=under_ray) as hosts:
            yield job, hosts


def _run(job: TrainingJob, hosts: Hosts) -> _Told:
    told = _Told()
    Attempts(job, told, hosts).run()
    return told


def _disturbed(job: TrainingJob, hosts: Hosts, num_kills: int, random: Random) -> tuple[Striker, _Told]:
    told = _Told()
    striker = Striker(
        scratch=job.scratch,
        objects=job.scratch.parent / "objects",
        num_ranks=job.recipe.num_workers,
        checkpoint_every=_EVERY,
        aims=aims_of(num_kills, random),
        random=Random(random.random()),
        frontier=lambda: told.frontier,
        servers=_SERVERS,
    )
    with striker:
        Attempts(job, told, hosts).run()
    return striker, told


def _files(job: TrainingJob) -> dict[str, str]:
    """The hash of every file of the last checkpoint that must not depend on what happened to the run, nor on its name,
    which is in the state.
    """
    folder = job.store.connect().fetch(f"runs/{job.run_id}/checkpoints/1-{_STEPS}")
    files = {name: sha256 for name, (sha256, *_) in read_manifest(folder).files.items()}
    state = (folder / STATE).read_text(encoding="utf-8").replace(f'"{job.run_id}"', '""')
    files[STATE] = hashlib.sha256(state.encode()).hexdigest()
    return {name: sha256 for name, sha256 in files.items() if name not in (LEDGER, METRICS)}


def _wrong(job: TrainingJob, found: _Told, wanted: _Told, files: dict[str, str]) -> list[str]:
    """Everything in which a run differs from the undisturbed one."""
    bits, right = found.bits(), wanted.bits()
    faults = [f"rows of steps {missing} are missing" for missing in [sorted(set(range(_STEPS)) - set(bits))] if missing]
    faults += [f"step {step}: {bits[step]}, not {right[step]}" for step in sorted(bits) if bits[step] != right[step]]
    faults += [f"{name} differs" for name, sha256 in _files(job).items() if files.get(name) != sha256]
    objects, shard = job.store.connect(), TokenShard(job.store.connect().fetch(job.dataset_uri))
    verdict = verify_run(_unique(found.committed), shard.meta, job.recipe, objects)
    faults += list(verdict.sentences) if not verdict.ok else []
    return faults + _wrong_ledger(job, shard)


def _unique(committed: list[StepsCommitted]) -> list[StepsCommitted]:
    """As the log has them: an event that is said again has the same id."""
    return list({event.checkpoint_id: event for event in committed}.values())


def _wrong_ledger(job: TrainingJob, shard: TokenShard) -> list[str]:
    """Whether the ancestry of the last checkpoint holds every step once with its samples, asked without the product's
    verdict.
    """
    checkpoints = RunCheckpoints(job.store.connect(), job.run_id, job.epoch)
    broken: list[Any] = []
    newest = checkpoints.newest_whole(broken.append)
    assert newest is not None, "it was just written"
    size = job.recipe.derived.batch_size
    order = SampleOrder(job.dataset_version, job.recipe.seed, shard.num_windows)
    planned = [(step, tuple(order.indices(step * size, size)), False) for step in range(_STEPS)]
    folders = [job.store.connect().fetch(found.saved.uri) for found in checkpoints.ancestry(newest, broken.append)]
    rows = [(row.step, row.samples, row.left_out) for folder in folders for row in read_ledger(folder)]
    faults = ["the ledger is not the planned order of samples"] if rows != planned else []
    return faults + [f"{each.checkpoint_id} was quarantined: {each.reason}" for each in broken]


if __name__ == "__main__":
    main()
