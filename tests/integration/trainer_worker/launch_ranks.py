"""One rank of a test's process group: runs the pickled jobs in turn; rank 0 leaves the reports behind."""

import os
import pickle
import sys
from pathlib import Path

import torch.distributed as dist

from ropewalk.trainer.adapters.worker import micro_batch
from ropewalk.trainer.adapters.worker.group import leave
from ropewalk.trainer.adapters.worker.loop import run_worker


def main() -> None:
    folder = Path(sys.argv[1])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    reports = []
    for job in pickle.loads((folder / "jobs.pickle").read_bytes()):
        micro_batch.CPU_TOKENS = 16 if job.run_id.endswith("-in-parts") else 8192
        reports.append([])
        run_worker(job, rank, world_size, reports[-1].append)
    if rank == 0:
        (folder / "reports.pickle").write_bytes(pickle.dumps(reports))
    leave()


if __name__ == "__main__":
    main()
