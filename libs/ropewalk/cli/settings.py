"""What the fast way of `ropewalk runs` must know about its surroundings, without the libraries that settings need."""

import os
from pathlib import Path


def default_state_dir() -> Path:
    """The state folder of a user who names none."""
    return Path(os.environ.get("ROPEWALK_STATE_DIR") or "~/.ropewalk").expanduser()


def names_a_bus() -> bool:
    """Whether the environment says where the bus is or who asks; then settings decide, not the embedded stack."""
    return any(name.startswith(("ROPEWALK_NATS_", "ROPEWALK_CLIENT_")) for name in os.environ)
