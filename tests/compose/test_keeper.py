"""The containers of a compose project answer as a supervisor does. Needs one that is up: ROPEWALK_COMPOSE_PROJECT."""

import os

import pytest
from parts.keeper_contract import assert_is_a_keeper

from ropewalk.local.containers import Containers

PROJECT = os.environ.get("ROPEWALK_COMPOSE_PROJECT", "")

pytestmark = pytest.mark.skipif(not PROJECT, reason="ROPEWALK_COMPOSE_PROJECT names no project")


def test_a_container_engine_is_a_keeper() -> None:
    keeper = Containers(PROJECT)
    assert_is_a_keeper(keeper)
    assert "gateway" in keeper.names()


def test_the_volume_of_the_bus_has_a_disk() -> None:
    assert any(disk.total > disk.free > 0 for disk in Containers(PROJECT).disks())
