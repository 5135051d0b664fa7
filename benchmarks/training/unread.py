"""What training costs while nobody takes its reports, as when the broker is down: in CPU seconds, and in lost reports.

    python benchmarks/training/unread.py --out benchmarks/results/training_unread.json

One training below Ray in a child of this process, as the trainer service has it. A service that cannot publish waits
in the middle of a report, so the next ones are not handled. Here that wait comes and goes: for some seconds reports
are handled, for as many they are not, alternately, which a busy machine disturbs alike. Told is the median over pairs
of the workers' CPU seconds a step, without over with, less one; in the end everything must have been reported.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import psutil
from machine import describe
from parts.under_fire import hosts_of, job_in, quiet

from ropewalk.stages.child import OnReport, run_child
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.reports import FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepsDone


@dataclass
class _Service:
    """Handles reports while its gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    pids: tuple[int, ...] = ()
    ends: dict[int, float] = field(default_factory=dict)  # of each step, Unix seconds
    checkpoints: list[int] = field(default_factory=list)

    async def __call__(self, report: TrainingReport) -> None:
        await self.gate.wait()
        match report:
            case FromWorkers(_, Started(worker_pids=pids)):
                self.pids = pids
            case FromWorkers(_, StepsDone(rows=rows)):
                self.ends |= {row.step: row.time_unix for row in rows}
            case FromWorkers(_, CheckpointWritten() as found):
                self.checkpoints.append(found.saved.step)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each half of a pair")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine = describe()
    quiet()
    found = [asyncio.run(_measure(options.size, ranks, options.pairs, options.seconds)) for ranks in (1, 2)]
    text = json.dumps({"machine": machine, "size": options.size, "bar": "< 0.02, nothing lost", "rows": found})
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _train(job: TrainingJob, report: OnReport) -> Finished:
    with hosts_of(job, under_ray=False) as hosts:
        return Attempts(job, report, hosts).run()


async def _measure(size: str, ranks: int, num_pairs: int, half_s: float) -> dict[str, object]:
    service = _Service()
    service.gate.set()
    with tempfile.TemporaryDirectory(prefix="ropewalk-unread-") as name:
        job = job_in(Path(name), 200, num_workers=ranks, size=size)
        training = asyncio.create_task(run_child(_train, job, service))
        while len(service.ends) < 20 and not training.done():
            await asyncio.sleep(0.1)
        marks = [_mark(service.pids)]
        for half in range(2 * num_pairs):
            service.gate.clear() if half % 2 else service.gate.set()
            await asyncio.sleep(half_s)
            marks.append(_mark(service.pids))
        job.stop_file.touch()
        await asyncio.sleep(half_s)  # the end, too, comes while nobody listens
        service.gate.set()
        finished = await training
    return {"ranks": ranks, **_told(marks, service, finished)}


def _mark(pids: tuple[int, ...]) -> tuple[float, float]:
    """Unix seconds, and the CPU seconds of the workers up to now."""
    spent = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            spent += times.user + times.system
    return time.time(), spent


def _told(marks: list[tuple[float, float]], service: _Service, finished: Finished) -> dict[str, object]:
    steps = sorted(service.ends)
    moments, spent = np.array(marks).T
    done = np.interp(moments, [service.ends[step] for step in steps], steps)
    costs = np.diff(spent) / np.diff(done)  # of a step; read and unread in turn
    ratios = costs[1::2] / costs[::2] - 1
    drawn = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    return {
        "overhead_unread": round(float(np.median(ratios)), 4),
        "low": round(float(np.percentile(drawn, 2.5)), 4),
        "high": round(float(np.percentile(drawn, 97.5)), 4),
        "step_cpu_s": round(float(np.median(costs[::2])), 5),
        "steps": finished.step,
        "rows_lost": finished.step - len(steps),
        "checkpoints_told": len(set(service.checkpoints)),
        "checkpoints_lost": -(-finished.step // 200) - len(set(service.checkpoints)),
    }


if __name__ == "__main__":
    main()
