"""`ropewalk drill` on the containers of a running stack, as a person types it."""

import json
import subprocess

import pytest
from compose.containers import until
from parts.compose_stack import ComposeStack

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    "asked",
    [
        "kill-service --service evaluator",
        "kill-broker",
        "pause-service --service ingest",
        "cut-network --service monitor",
    ],
)
def test_a_drill_of_a_container_passes(stack: ComposeStack, asked: str) -> None:
    done = stack.ropewalk("drill", *asked.split(), "--minutes", "2", "--json")
    assert json.loads(done.stdout)["passed"], done.stdout
    stack.project.ready()


@pytest.mark.parametrize(
    ("asked", "why"), [("fill-disk", "docker's own disk"), ("cut-network --service trainer", "drives Ray")]
)
def test_a_drill_that_cannot_be_played_says_why(stack: ComposeStack, asked: str, why: str) -> None:
    done = stack.ropewalk("drill", *asked.split())
    assert done.returncode == 2
    assert why in done.stderr


@pytest.mark.slow
def test_services_that_use_ray_join_it_again_when_its_head_was_killed(stack: ComposeStack) -> None:
    def num_nodes() -> int:
        head = stack.project.containers("ray-head")[0]
        done = subprocess.run(["docker", "exec", head, "ray", "status"], capture_output=True, text=True, check=False)
        return done.stdout.count(" 1 node_")

    before = num_nodes()
    assert before >= 4  # head, worker, preprocessing, trainer
    stack.kill("ray-head")
    until(lambda: num_nodes() == before, 300, lambda: f"{num_nodes()} of {before} nodes are there")
    stack.project.ready()
