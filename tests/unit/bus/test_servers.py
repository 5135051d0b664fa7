"""An address that names several servers of one cluster."""

import socket
import threading

import pytest

from ropewalk.bus.connection import connect_options
from ropewalk.bus.errors import BusError
from ropewalk.bus.servers import servers_of
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Address, Wire


def test_an_address_may_name_several_servers_and_the_scheme_once() -> None:
    assert servers_of("tls://nats-0:4222, nats-1:4222") == ["tls://nats-0:4222", "tls://nats-1:4222"]
    assert servers_of("nats-0") == ["nats://nats-0"]


def test_what_is_shown_of_several_servers_holds_no_password() -> None:
    assert NatsSettings(url="nats://me:secret@a:1,nats://me:secret@b:2").address == "nats://a:1,nats://b:2"


def test_every_server_is_tried_and_all_of_them_with_tls() -> None:
    options = connect_options(NatsSettings(url="tls://a:1,b:2"), "test")
    assert options["servers"] == ["tls://a:1", "tls://b:2"]
    assert options["tls_handshake_first"]
    with pytest.raises(BusError, match="begin all with tls://"):
        connect_options(NatsSettings(url="tls://a:1,nats://b:2"), "test")


def test_a_blocking_connection_goes_to_the_next_server_if_one_is_away() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b'INFO {"max_payload": 1048576}\r\nPONG\r\n')
                heard.append(accepted.recv(4096))

        greeting = threading.Thread(target=greet)
        greeting.start()
        port = server.getsockname()[1]
        Wire(Address(url=f"nats://127.0.0.1:1,127.0.0.1:{port}")).close()
        greeting.join()
    assert heard[0].startswith(b"CONNECT ")
