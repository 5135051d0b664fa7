"""The usual ports, or free ones."""

import socket
import subprocess
import sys

import pytest

from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import Ports, choose_again, choose_ports, is_free, moved_ports


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free_ports(**changes):
    """Ports that are surely free, so that the test does not depend on what runs on this machine."""
    found = {}
    sockets = [socket.socket() for _ in Ports.model_fields]
    for name, each in zip(Ports.model_fields, sockets, strict=True):
        each.bind(("127.0.0.1", 0))
        found[name] = each.getsockname()[1]
    for each in sockets:
        each.close()
    return Ports(**{**found, **changes})


@pytest.fixture
def claims(tmp_path):
    return PortClaims(tmp_path / "claims")


def test_free_preferred_ports_are_taken(claims):
    preferred = free_ports()

    assert choose_ports(preferred, claims) == preferred


def test_taken_port_is_replaced_by_a_free_one_and_the_others_stay(taken_port, claims):
    preferred = free_ports(openai=taken_port)

    chosen = choose_ports(preferred, claims)

    assert chosen.openai != taken_port
    assert is_free(chosen.openai)
    assert chosen.model_copy(update={"openai": taken_port}) == preferred


def test_no_port_is_given_out_twice(claims):
    preferred = free_ports()
    doubled = preferred.model_copy(update={"triton_http": preferred.openai})

    chosen = choose_ports(doubled, claims).model_dump().values()

    assert len(set(chosen)) == len(chosen)


def test_moved_ports_name_the_usual_and_the_chosen_one():
    assert moved_ports(Ports()) == {}
    assert moved_ports(Ports(nats=4223)) == {"nats": (4222, 4223)}


def test_two_stacks_that_start_in_the_same_moment_share_no_port(tmp_path):
    preferred = free_ports()
    first, second = PortClaims(tmp_path / "claims"), PortClaims(tmp_path / "claims")

    ones = choose_ports(preferred, first)
    others = choose_ports(preferred, second)

    assert ones == preferred
    assert not set(ones.model_dump().values()) & set(others.model_dump().values())


def test_ports_of_a_stack_that_was_killed_can_be_claimed_again(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom ropewalk.local.port_claims import PortClaims\n"
        "claims = PortClaims(Path(sys.argv[1]))\nprint(claims.claim(4222), flush=True)\ntime.sleep(600)"
    )
    claims = PortClaims(tmp_path / "claims")
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "claims"], stdout=subprocess.PIPE) as stack:
        assert stack.stdout.readline() == b"True\n"
        assert not claims.claim(4222)
        stack.kill()
    assert claims.claim(4222)


def test_of_the_ports_of_one_process_only_those_are_given_up_that_somebody_took(taken_port, claims):
    ports = free_ports(openai=taken_port, nats=taken_port)

    moved = choose_again(ports, ("openai", "triton_http"), claims)

    assert moved.openai not in (taken_port, 0)
    assert is_free(moved.openai)
    assert moved.model_copy(update={"openai": taken_port}) == ports
