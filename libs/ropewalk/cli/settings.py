"""What commands learn from their surroundings without the libraries that settings need, which are slow to import."""

import json
import os
import pwd
from pathlib import Path

from ropewalk.bus.wire import Address

_PREFIX = "ROPEWALK_NATS_"
_IDENTITY = ("user", "password", "nkey_file", "tls_ca")
_USER = "operator"  # `admin.access` has it, and would import every message type


def default_state_dir() -> Path:
    """The state folder of a user who names none."""
    return Path(os.environ.get("ROPEWALK_STATE_DIR") or "~/.ropewalk").expanduser()


def user_name() -> str:
    """Who runs this process; empty in a container that does not know."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name[:64]
    except KeyError:
        return ""


def named_bus() -> Address | None:
    """The bus that the environment names, and as whom."""
    url = os.environ.get(f"{_PREFIX}URL")
    return None if url is None else Address(url=url, **_identity())


def compose_project() -> str:
    """The compose project whose containers are the stack; empty if it runs elsewhere. `keys/client.env` sets it."""
    return os.environ.get("ROPEWALK_COMPOSE_PROJECT", "")


def find_address(state_dir: Path) -> Address | None:
    """The bus that the environment names, or that of the embedded stack; None if `find_settings` must decide."""
    if (bus := named_bus()) or _identity():
        return bus
    # A first start writes the key before stack.json, so without a seed there was no start, or another user's.
    seed = state_dir / "keys" / f"{_USER}.seed"
    try:
        stack = json.loads((state_dir / "stack.json").read_bytes())
        return Address(url=stack["endpoints"]["nats"], user=_USER, nkey_file=str(seed)) if seed.is_file() else None
    # The file is of another version, or half a stack: `find_settings` says in words what is wrong.
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _identity() -> dict[str, str]:
    return {name: value for name in _IDENTITY if (value := os.environ.get(f"{_PREFIX}{name.upper()}"))}
