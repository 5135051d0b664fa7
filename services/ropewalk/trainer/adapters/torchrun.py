"""`torchrun --nproc-per-node N -m ropewalk.trainer.adapters.torchrun JOB.json`: training without Ray and without a bus.

JOB.json is a `WorkerJob`. Rank 0 prints what it would report, a JSON object a line. After a restart by torchrun (or by
hand) the run goes on from the newest whole checkpoint of its epoch or an earlier one; SIGTERM saves first.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from pydantic import TypeAdapter, ValidationError

from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.events.foreign import one_line
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints
from ropewalk.trainer.adapters.worker.device import BACKENDS
from ropewalk.trainer.adapters.worker.group import leave
from ropewalk.trainer.adapters.worker.job import WorkerError, WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.loop import run_worker
from ropewalk.trainer.adapters.worker.notice import Notice


def main() -> None:
    """Train to the end, or to a notice."""
    notice = Notice()
    notice.listen()
    try:
        job = TypeAdapter(WorkerJob).validate_json(Path(sys.argv[1]).read_bytes())
    except (IndexError, OSError, ValidationError) as error:
        sys.exit(f"the job cannot be read: {one_line(str(error), 500)}; give the path of a WorkerJob in JSON")
    cuda = job.recipe.derived.device == "cuda" and torch.cuda.is_available()
    dist.init_process_group(BACKENDS["cuda" if cuda else "cpu"])  # RANK and the like are in the environment
    try:
        run_worker(_resumed(job), dist.get_rank(), dist.get_world_size(), _print, notice)
    except WorkerError as error:
        sys.exit(f"training cannot go on: {one_line(str(error), 500)}")
    leave()


def _resumed(job: WorkerJob) -> WorkerJob:
    """The job from the newest whole checkpoint on, which rank 0 chooses for all."""
    objects, keys = job.store.connect(), [""]
    if dist.get_rank() == 0:
        newest = RunCheckpoints(objects, job.run_id, job.epoch).newest_whole(_print)
        keys = [newest.place.key if newest is not None else ""]
    dist.broadcast_object_list(keys)
    return replace(job, resume_from=objects.fetch(keys[0])) if keys[0] else job


def _print(report: WorkerReport | CheckpointQuarantined) -> None:
    said = TypeAdapter(type(report)).dump_python(report, mode="json")
    sys.stdout.write(json.dumps({"report": type(report).__name__, **said}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
