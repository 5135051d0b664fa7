"""Which ports the stack listens on: the usual ones, or free ones where these are taken."""

import socket
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from ropewalk.local.port_claims import PortClaims

LOOPBACK = "127.0.0.1"


class Ports(BaseModel):
    """The loopback ports of a stack. The defaults are those that users of these systems expect."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    nats: int = 4222
    openai: int = 8080
    triton_http: int = 8000
    triton_grpc: int = 8001
    clickhouse_http: int = 8123
    review: int = 8085
    ray: int = 6379
    ray_client: int = 10001
    ray_dashboard_agent: int = 52365


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now, on loopback and on all addresses (Ray does the latter)."""
    return all(_can_bind(host, port) for host in (LOOPBACK, ""))


def choose_ports(preferred: Ports, claims: PortClaims) -> Ports:
    """`preferred` where free, else what the kernel hands out; no port twice, none that another stack has claimed."""
    chosen: dict[str, int] = {}
    for name, port in preferred.model_dump().items():
        taken = set(chosen.values())
        chosen[name] = port if _is_ours(port, taken, claims) else _free_port(taken, claims)
    return Ports(**chosen)


def choose_again(ports: Ports, names: Iterable[str], claims: PortClaims) -> Ports:
    """`ports` with other numbers for those of `names` that are no longer free. Nobody of ours may listen on them."""
    chosen = ports.model_dump()
    for name in names:
        if not is_free(chosen[name]):
            chosen[name] = _free_port(set(chosen.values()), claims)
    return Ports(**chosen)


def _is_ours(port: int, taken: set[int], claims: PortClaims) -> bool:
    return port not in taken and is_free(port) and claims.claim(port)


def moved_ports(ports: Ports) -> Mapping[str, tuple[int, int]]:
    """Name -> (usual, chosen) of the ports that are not the usual ones, to tell the user."""
    usual = Ports().model_dump()
    return {name: (usual[name], port) for name, port in ports.model_dump().items() if usual[name] != port}


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _free_port(taken: set[int], claims: PortClaims) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if _is_ours(port, taken, claims):
            return port
