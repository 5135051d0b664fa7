"""The entry points of the trainer's child processes. Importing this costs nothing: Ray and torch come when called."""

from collections.abc import Callable

from ropewalk.events.training import RungReached
from ropewalk.trainer.adapters.reports import SearchJob, TrainingJob
from ropewalk.trainer.adapters.worker.job import Finished
from ropewalk.trainer.adapters.worker.notice import Notice


def train(job: TrainingJob, report: Callable[[object], None]) -> Finished:
    """Train a run to its end and return the last report. Raises StageError.

    On SIGTERM the workers save, and ChildDiedError is raised: somebody else goes on.
    """
    from ropewalk.trainer.adapters.ray_cluster import surround

    surround(job.cluster)
    notice = Notice()
    notice.listen()
    from ropewalk.trainer.adapters.attempts import Attempts
    from ropewalk.trainer.adapters.ray_hosts import RayHosts

    with RayHosts(job.cluster, job.recipe, job.scratch) as hosts:
        return Attempts(job, report, hosts, notice).run()


def search(job: SearchJob, report: Callable[[object], None]) -> tuple[RungReached, ...]:
    """Run what is left of a search and return its journal; each rung is also reported as it is reached."""
    from ropewalk.trainer.adapters.ray_cluster import ray_cluster

    with ray_cluster(job.cluster):
        from ropewalk.trainer.adapters.ray_trials import Trials

        return Trials(job, report).run()
