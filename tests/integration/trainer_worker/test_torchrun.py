"""The entry for torchrun, under the real torchrun."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ropewalk.trainer.adapters.worker.job import WorkerJob

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(job: WorkerJob, folder: Path) -> list[dict[str, object]]:
    path = folder / "job.json"
    path.write_bytes(TypeAdapter(WorkerJob).dump_json(job))
    command = [*COMMAND, "-m", "ropewalk.trainer.adapters.torchrun", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_torchrun_trains_to_the_end_and_goes_on_from_the_newest_checkpoint(workshop, tools) -> None:
    job = workshop.job("t", tools.a_recipe(num_workers=2))
    whole = torchrun(dataclasses.replace(job, stop_before=8), workshop.root)
    assert whole[-1]["report"] == "Finished"
    assert whole[-1]["stopped"] is True
    again = torchrun(job, workshop.root)
    [started] = [said for said in again if said["report"] == "Started"]
    assert started["resume_step"] == whole[-1]["step"]
    assert again[-1]["step"] == job.total_steps
    assert len(started["worker_pids"]) == 2
