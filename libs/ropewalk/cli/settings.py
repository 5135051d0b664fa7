"""What the fast way of `ropewalk runs` must know about its surroundings, without the libraries that settings need."""

import os
from pathlib import Path

_PREFIX = "ROPEWALK_NATS_"


def default_state_dir() -> Path:
    """The state folder of a user who names none."""
    return Path(os.environ.get("ROPEWALK_STATE_DIR") or "~/.ropewalk").expanduser()


def bus_environment() -> dict[str, str]:
    """What the environment says about the bus, under the names that NatsSettings has for it."""
    return {name[len(_PREFIX) :].lower(): value for name, value in os.environ.items() if name.startswith(_PREFIX)}
