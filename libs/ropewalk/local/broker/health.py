"""What nats-server says about itself, asked over its own account on the bus.

Its HTTP monitoring port would tell everybody on the machine who is connected and what they listen to, so it is off.
Reference: system events, https://docs.nats.io/running-a-nats-service/configuration/sys_accounts.
"""

import json
from typing import Any

from ropewalk.bus.wire import Address, Wire, WireError

HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"
STORE = "$SYS.REQ.SERVER.PING.JSZ"
_TIMEOUT_S = 2.0
_JETSTREAM_ONLY = b'{"js-enabled-only": true}'  # a stream on a full disk keeps nobody from connecting


def health(address: Address, timeout_s: float = _TIMEOUT_S, *, jetstream_only: bool = False) -> str:
    """What ails the server, in its own words; empty if it is well. Blocking. Raises OSError, ValueError."""
    answer = _ask(address, HEALTH, _JETSTREAM_ONLY if jetstream_only else b"", timeout_s)
    return "" if answer.get("status") == "ok" else str(answer.get("error") or answer.get("status") or "unknown")


def store(address: Address, timeout_s: float = _TIMEOUT_S) -> tuple[int, int]:
    """Bytes that JetStream has stored, and may store. Blocking. Raises OSError, ValueError."""
    said = _ask(address, STORE, b'{"config": true}', timeout_s)
    return said.get("storage", 0), said.get("config", {}).get("max_storage", 0)


def _ask(address: Address, subject: str, body: bytes, timeout_s: float) -> dict[str, Any]:
    with Wire(address, timeout_s) as wire:
        answer = json.loads(wire.request(subject, body).body)
    if "data" not in answer:
        raise WireError(f"the bus does not say how it is: {answer.get('error')}")
    found: dict[str, Any] = answer["data"]
    return found
