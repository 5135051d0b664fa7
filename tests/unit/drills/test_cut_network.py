"""What the drill says of an address before it begins."""

import pytest

from ropewalk.drills.cut_network import server_of
from ropewalk.drills.errors import NotPreparedError


def test_a_service_that_knows_several_servers_is_refused_because_it_would_go_around_the_proxy() -> None:
    with pytest.raises(NotPreparedError, match="trainer knows 2 servers"):
        server_of("trainer", "tls://nats-0:4222,nats-1:4222")
    assert server_of("trainer", "nats://user:word@127.0.0.1:14222").port == 14222
