"""A training on a Ray of several hosts, as the trainer's child runs it: a program for the host of the driver.

`stock FOLDER` publishes a small dataset, `train FOLDER STEPS` trains a run of two workers and writes what it reports as
JSON lines. The object store and its keys are in the environment, as a service has them.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from integration.trainer.conftest import Workshop

from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.objects import ObjectStore
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import ClusterSpec, FromWorkers, TrainingJob
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss
from ropewalk.trainer.settings import Settings

OWN = Path("/tmp/own")  # of which every host has one
STOP = OWN / "stop"


class RemoteWorkshop(Workshop):
    """Its object store is the one of the settings."""

    @property
    def objects(self) -> ObjectStore:
        return Settings().store.connect()


def the_job(folder: Path, num_steps: int) -> TrainingJob:
    """Two workers, a checkpoint every few steps."""
    settings = Settings()
    job = Workshop(folder, folder).training()
    plan = job.recipe.derived.model_copy(update={"total_steps": num_steps, "checkpoint_every": 10})
    recipe: Recipe = job.recipe.model_copy(update={"num_workers": 2, "plan": plan})
    cluster = ClusterSpec(address=settings.training.ray_address, num_cpus=2, temporary=settings.ray_tmp)
    own = {"scratch": OWN / "scratch", "stop_file": STOP}
    return replace(job, recipe=recipe, store=settings.store, cluster=cluster, **own)


def train(folder: Path, num_steps: int) -> None:
    OWN.mkdir()
    with (folder / "reports.jsonl").open("a", buffering=1) as file:

        def say(**facts: object) -> None:
            file.write(json.dumps({"at": time.time(), **facts}) + "\n")

        def on_report(report: object) -> None:
            match report:
                case Loss():
                    say(kind="loss", cause=report.cause, detail=report.detail)
                case FromWorkers(attempt, Started() as started):
                    say(kind="started", attempt=attempt, step=started.resume_step)
                case FromWorkers(attempt, StepsDone(rows=rows)) if rows:
                    say(kind="steps", attempt=attempt, step=rows[-1].step)
                case FromWorkers(_, CheckpointWritten(saved=saved)):
                    say(kind="saved", checkpoint=saved.checkpoint_id)

        finished: Finished = entry.train(the_job(folder, num_steps), on_report)
        say(kind="finished", step=finished.step, stopped=finished.stopped, checkpoint=finished.checkpoint_id)


if __name__ == "__main__":
    work, place = sys.argv[1], Path(sys.argv[2])
    if work == "stock":
        RemoteWorkshop(place, place).stock()
    else:
        train(place, int(sys.argv[3]))
