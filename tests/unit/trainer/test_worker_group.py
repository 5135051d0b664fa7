"""The end of a group on hosts that are plain values: what its ranks showed, and what our own kill made of the rest."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.cpu_meter import Beat, CpuMeter
from ropewalk.trainer.adapters.rank_task import Ended, RankTask, Where
from ropewalk.trainer.adapters.worker.job import WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.notice import Notice
from ropewalk.trainer.adapters.worker_group import GroupWatch, run_group
from ropewalk.trainer.domain.recovery import Symptom


@dataclass
class AHost:
    """Its worker ends as it is told to, by itself or when it is killed."""

    rank: int
    dies: bool
    future: "Future[Ended]" = field(default_factory=Future)

    def where(self) -> Where:
        return Where(machine="m", address="127.0.0.1", folder=Path("/nowhere"), free_port=1, own_device=False)

    def run(self, task: RankTask) -> "Future[Ended]":
        if self.dies:
            self.end()
        return self.future

    def drain(self) -> list[WorkerReport]:
        return []

    def signal(self, number: int) -> None:
        self.end()

    def end(self) -> None:
        text = f"the process of worker {self.rank} was killed by SIGKILL"
        used = Beat(node="n", pid=self.rank, cpu_seconds=0.0)
        self.future.set_result(Ended(symptom=Symptom(kind="died", text=text, rank=self.rank), used=used))


def a_job(folder: Path) -> WorkerJob:
    recipe = complete(Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny", minutes=0.1))
    return WorkerJob(
        run_id="r",
        epoch=1,
        attempt=1,
        recipe=recipe,
        dataset=folder,
        dataset_version="d",
        tokenizer=folder,
        store=StoreAddress(url=folder.as_uri()),
        scratch=folder,
        matrix_lr=1.0,
        adam_lr=1.0,
    )


def test_the_rank_that_died_is_told_and_not_those_that_were_killed_for_it(tmp_path: Path) -> None:
    hosts = [AHost(0, dies=False), AHost(1, dies=True), AHost(2, dies=False)]
    watch = GroupWatch(stall_s=60, on_report=lambda _: None, meter=CpuMeter(), notice=Notice())
    assert [symptom.rank for symptom in run_group(a_job(tmp_path), hosts, watch)] == [1]


def test_of_a_group_that_was_ended_for_what_was_seen_only_that_is_told(tmp_path: Path) -> None:
    hang = Symptom(kind="hang", text="rank 1 was stopped", rank=1)
    hosts = [AHost(0, dies=False), AHost(1, dies=False)]
    watch = GroupWatch(stall_s=60, on_report=lambda _: None, meter=CpuMeter(), notice=Notice(), on_look=lambda: [hang])
    assert run_group(a_job(tmp_path), hosts, watch) == [hang]
