"""Who keeps processes alive: the supervisor's files, and what the answers of a container engine mean."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from parts.keeper_contract import assert_is_a_keeper

from ropewalk.local.containers import Containers, ContainersError, _disk, _state, with_containers
from ropewalk.local.keeping import Supervised
from ropewalk.local.layout import layout_of
from ropewalk.local.lock import held
from ropewalk.local.names import PROCESSES
from ropewalk.local.ports import Ports
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.status.asking import Status
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import BrokerView, ProcessState, Seen


def a_container(health: str = "healthy", **state: Any) -> dict[str, Any]:
    said = {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "OOMKilled": False,
        "Pid": 7,
        "ExitCode": 0,
        "StartedAt": "2026-11-27T02:01:00.792550366Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    return {"State": {**said, "Health": {"Status": health}, **state}, "RestartCount": 0}


def problems(process: ProcessState) -> tuple[Problem, ...]:
    seen = Seen(now=2e9, broker=BrokerView(answers=True), processes=(process,), contained=True)
    return problems_of(seen)


def test_a_supervisor_is_a_keeper(tmp_path: Path) -> None:
    place = layout_of(tmp_path / "state")
    place.create()
    place.log_of("nats-server").write_text("first\nsecond\nthird\n")
    state = StackState(
        supervisor_pid=os.getpid(),
        state_dir=str(place.state_dir),
        ports=Ports(),
        endpoints=endpoints_of(Ports()),
        processes=tuple(ProcessState(service=name, pid=7, status="ready") for name in PROCESSES),
    )
    write_state(place.stack_file, state)
    with held(place):
        keeper = Supervised(place)
        assert_is_a_keeper(keeper)
        assert {each.pid for each in keeper.states()} == {7}


@pytest.mark.parametrize(
    ("container", "told"),
    [
        (a_container(Status="exited", Running=False, ExitCode=137, Pid=0), "last it ended with exit code 137"),
        (a_container(Status="exited", Running=False, ExitCode=137, OOMKilled=True), "for want of memory"),
        (a_container(Status="paused", Paused=True), "last it was paused"),
        (a_container("unhealthy"), "last it failed its health check"),
    ],
)
def test_a_container_that_is_not_well_is_named_with_what_happened_to_it(container: dict[str, Any], told: str) -> None:
    (found,) = problems(_state("ray-worker", container))
    assert told in found.what
    assert "`ropewalk logs ray-worker`" in found.remedy


def test_a_container_that_is_well_is_no_problem_and_has_a_time() -> None:
    state = _state("trainer", a_container())
    assert (state.status, state.restarts, round(state.started_at)) == ("ready", 0, 1795744861)
    assert problems(state) == ()


def test_a_full_volume_is_read_off_df() -> None:
    device, disk = _disk("the event log", "nats:/data", "tmpfs 65536 65536 0 100% /data")
    assert (device, disk.full, disk.total, disk.mounted_at) == ("tmpfs", True, 65536 * 1024, "/data")


def test_an_engine_that_is_away_is_a_problem_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ContainersError, match="docker is not installed"):
        Containers("x").states()
    status = Status(seen=Seen(now=0.0, broker=BrokerView(answers=True)), problems=())
    assert [each.kind for each in with_containers(status, Containers("x")).problems] == ["engine_away"]


def docker_that_answers(folder: Path, inspect: str) -> None:
    """A program `docker` that knows one container."""
    (folder / "said").write_text(inspect)
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\ncase $1 in ps) echo c0ffee ;; *) cat "{folder}/said" ;; esac\n')
    program.chmod(0o755)


@pytest.mark.parametrize(("policy", "num_named"), [("unless-stopped", 1), ("on-failure", 0)])
def test_an_engine_that_was_stopped_is_named_and_a_one_shot_that_is_done_is_not(
    policy: str, num_named: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(service: str, policy: str, **state: Any) -> dict[str, Any]:
        labels = {"com.docker.compose.service": service}
        restarts = {"RestartPolicy": {"Name": policy}}
        return {**a_container(**state), "Config": {"Labels": labels}, "HostConfig": restarts}

    ended = found("clickhouse", policy, Status="exited", Running=False, Pid=0)
    docker_that_answers(tmp_path, json.dumps([ended, found("trainer", "unless-stopped")]))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    named = [problem for state in Containers("x").states() for problem in problems(state)]
    assert len(named) == num_named


@pytest.mark.parametrize("said", ["no JSON", '["no container"]', "{}x", "[{}]"])
def test_an_engine_that_answers_nonsense_is_told_in_a_sentence(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_that_answers(tmp_path, said)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ContainersError, match="answers what is no list of containers"):
        Containers("x").states()
