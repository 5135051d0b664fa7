"""Makes a rank visible from outside: its phases as stamps in a file, its stacks when they are asked for."""

from ropewalk.trainer.adapters.stacks import answer_with_stacks
from ropewalk.trainer.adapters.stamps import Stamper
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.adapters.worker.phases import Phases


def watched_phases(job: WorkerJob, rank: int) -> Phases:
    """The clock of a rank; who has no folder for its stamps is not watched."""
    if job.stamps is None:
        return Phases()
    stamper = Stamper(job.stamps, rank)
    answer_with_stacks(job.stamps, rank)
    return Phases(on_enter=stamper)
