"""Hosts for the tests. Without root there are none, and the tests say so."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.nats_cluster import NatsCluster, running_cluster
from hosts.network import may_make_hosts


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every host sees. What pytest gives lies in /tmp, of which every host has its own."""
    if not may_make_hosts():
        pytest.skip("namespaces with networks of their own need root")
    folder = Path(tempfile.mkdtemp(prefix="rw-hosts-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cluster(shared_folder: Path) -> Iterator[NatsCluster]:
    """Three servers, each on a host, with all streams, and a host for clients."""
    with running_cluster(shared_folder) as running:
        yield running
