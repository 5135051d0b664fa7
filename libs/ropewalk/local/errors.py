"""What can go wrong with the embedded stack, said to its user.

LocalError
├── StackNotRunningError    a command needs a running stack
├── StackStartError         a part of the stack did not become ready
└── UnknownProcessError     a process name that the stack does not have
"""

from ropewalk.errors import RopewalkError


class LocalError(RopewalkError):
    """The embedded stack cannot do what was asked. The text is a sentence for the user."""


class StackNotRunningError(LocalError):
    """Nothing supervises the state folder."""

    def __init__(self) -> None:
        super().__init__("the stack is not running; start it with `ropewalk up`")


class StackStartError(LocalError):
    """A part of the stack did not become ready in time."""


class UnknownProcessError(LocalError):
    """There is no process of that name."""
