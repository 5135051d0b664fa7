"""The usual ports, or free ones."""

import socket

import pytest

from ropewalk.local.ports import Ports, choose_ports, is_free, moved_ports


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


def test_free_preferred_ports_are_taken():
    preferred = free_ports()

    assert choose_ports(preferred) == preferred


def test_taken_port_is_replaced_by_a_free_one_and_the_others_stay(taken_port):
    preferred = free_ports(openai=taken_port)

    chosen = choose_ports(preferred)

    assert chosen.openai != taken_port
    assert is_free(chosen.openai)
    assert chosen.model_copy(update={"openai": taken_port}) == preferred


def test_no_port_is_given_out_twice():
    preferred = free_ports()
    doubled = preferred.model_copy(update={"triton_http": preferred.openai})

    chosen = choose_ports(doubled).model_dump().values()

    assert len(set(chosen)) == len(chosen)


def test_moved_ports_name_the_usual_and_the_chosen_one():
    assert moved_ports(Ports()) == {}
    assert moved_ports(Ports(nats=4223)) == {"nats": (4222, 4223)}
