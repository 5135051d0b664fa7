"""What every keeper of processes must do: the same questions to a supervisor and to a container engine."""

import itertools
from typing import get_args

import pytest

from ropewalk.local.errors import UnknownProcessError
from ropewalk.local.keeping import Keeper
from ropewalk.local.names import SERVICES
from ropewalk.status.seen import ProcessStatus

EVERYWHERE = {"nats-server", "ray", "triton", *SERVICES}


def assert_is_a_keeper(keeper: Keeper) -> None:
    """`nats-server` must have said at least two lines."""
    assert set(keeper.names()) >= EVERYWHERE
    states = {each.service: each for each in keeper.states()}
    assert set(states) >= EVERYWHERE
    assert {each.status for each in states.values()} <= set(get_args(ProcessStatus))
    assert all(each.pid for each in states.values() if each.status == "ready")
    last = keeper.lines("nats-server", 2)
    assert len(last) == 2
    assert keeper.lines("nats-server", 1) == last[1:]
    following = keeper.follow("nats-server", 2)
    assert [line.rstrip("\n") for line in itertools.islice(following, 2)] == last
    with pytest.raises(UnknownProcessError, match=r"there is no process 'nobody'.*ingest"):
        keeper.lines("nobody", 1)
