"""Looks at data that go wrong, where a child process can import them."""

import os
import signal


def stumble(*_: object, **__: object) -> None:
    """As a reader with a fault of our own."""
    raise KeyError("a line\nof our own")


def die(*_: object) -> None:
    """As a reader that runs into a fault of its library."""
    os.kill(os.getpid(), signal.SIGKILL)
