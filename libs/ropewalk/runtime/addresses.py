"""How other machines reach this one. Its own name does not tell: Debian gives that an address of loopback."""

import ipaddress
import socket

import psutil

_ELSEWHERE = (
    "192.0.2.1",
    9,
)  # RFC 5737: nobody's; connecting a datagram socket sends nothing, it only chooses a way out


def own_address() -> str:
    """Of this machine, as others reach it; of loopback if it has no network."""
    try:
        named = socket.gethostbyname(socket.gethostname())
    except OSError:
        named = "127.0.0.1"
    if not ipaddress.ip_address(named).is_loopback:
        return named
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return _first_of_a_network() or named
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The network interface that has an address; empty if none has."""
    found = (name for name, entries in psutil.net_if_addrs().items() if address in {entry.address for entry in entries})
    return next(found, "")


def _first_of_a_network() -> str:
    """Where no way leads further than the own network."""
    entries = (entry for entries in psutil.net_if_addrs().values() for entry in entries)
    addresses = (entry.address for entry in entries if entry.family == socket.AF_INET)
    return next((address for address in addresses if not ipaddress.ip_address(address).is_loopback), "")
