"""A training that is killed again and again, and everything in which it differs from one that nobody disturbed."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from parts.strikes import Striker, aims_of

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

_MOST_A_RUN = 5
_SERVERS = 1 / 12


@dataclass
class Told:
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


def kill_and_compare(job: TrainingJob, hosts: Hosts, num_kills: int, random: Random) -> dict[str, Any]:
    """One undisturbed run, then as many disturbed ones as it takes, all on the same hosts."""
    faults: list[str] = []
    where: Counter[str] = Counter()
    kills, runs, servers, most, again = 0, 0, 0, 0, 0
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
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return counts | {"where": where, "undisturbed_sha256": digest, "faults": faults}


def sum_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the cases: kills by place, and faults."""
    where: Counter[str] = Counter()
    for row in rows:
        where.update(row["where"])
    faults = [fault for row in rows for fault in row["faults"]]
    kills = sum(row["kills"] for row in rows)
    return {"kills": kills, "where": where, "faults": len(faults), "within_bar": not faults, "cases": rows}


def _run(job: TrainingJob, hosts: Hosts) -> Told:
    told = Told()
    Attempts(job, told, hosts).run()
    return told


def _disturbed(job: TrainingJob, hosts: Hosts, num_kills: int, random: Random) -> tuple[Striker, Told]:
    told = Told()
    striker = Striker(
        scratch=job.scratch,
        objects=job.scratch.parent / "objects",
        num_ranks=job.recipe.num_workers,
        checkpoint_every=job.recipe.derived.checkpoint_every,
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
    folder = job.store.connect().fetch(f"runs/{job.run_id}/checkpoints/1-{job.recipe.derived.total_steps}")
    files = {name: sha256 for name, (sha256, *_) in read_manifest(folder).files.items()}
    state = (folder / STATE).read_text(encoding="utf-8").replace(f'"{job.run_id}"', '""')
    files[STATE] = hashlib.sha256(state.encode()).hexdigest()
    return {name: sha256 for name, sha256 in files.items() if name not in (LEDGER, METRICS)}


def _wrong(job: TrainingJob, found: Told, wanted: Told, files: dict[str, str]) -> list[str]:
    """Everything in which a run differs from the undisturbed one."""
    bits, right, steps = found.bits(), wanted.bits(), job.recipe.derived.total_steps
    faults = [f"rows of steps {missing} are missing" for missing in [sorted(set(range(steps)) - set(bits))] if missing]
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
    size, steps = job.recipe.derived.batch_size, job.recipe.derived.total_steps
    order = SampleOrder(job.dataset_version, job.recipe.seed, shard.num_windows)
    planned = [(step, tuple(order.indices(step * size, size)), False) for step in range(steps)]
    folders = [job.store.connect().fetch(found.saved.uri) for found in checkpoints.ancestry(newest, broken.append)]
    rows = [(row.step, row.samples, row.left_out) for folder in folders for row in read_ledger(folder)]
    faults = ["the ledger is not the planned order of samples"] if rows != planned else []
    return faults + [f"{each.checkpoint_id} was quarantined: {each.reason}" for each in broken]
