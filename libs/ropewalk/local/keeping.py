"""Who keeps the processes of a stack alive, behind one protocol: a supervisor on this machine, or a container engine.

A process is named as in the embedded stack, wherever it runs. `Supervised` is here, `Containers` beside.
"""

import time
from collections.abc import Iterator
from typing import Protocol

from ropewalk.local.errors import UnknownProcessError
from ropewalk.local.layout import Layout
from ropewalk.local.logfiles import new_text, tail_lines
from ropewalk.local.names import PROCESSES, SUPERVISOR
from ropewalk.local.stack import running_state
from ropewalk.status.seen import ProcessState

_FOLLOW_S = 0.25


class Keeper(Protocol):
    """What logs and status need of whoever keeps the processes. Everything raises LocalError."""

    def names(self) -> tuple[str, ...]:
        """Every process whose log can be read."""
        ...

    def states(self) -> tuple[ProcessState, ...]:
        """Every process that is kept alive. Raises StackNotRunningError, or what says that nothing runs."""
        ...

    def lines(self, name: str, num_lines: int) -> list[str]:
        """The end of a log. Raises UnknownProcessError."""
        ...

    def follow(self, name: str, num_lines: int) -> Iterator[str]:
        """The end of a log, and then what is added to it, for ever. Raises UnknownProcessError."""
        ...


class Supervised:
    """The processes of an embedded stack."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def names(self) -> tuple[str, ...]:
        """See Keeper."""
        return (SUPERVISOR, *PROCESSES)

    def states(self) -> tuple[ProcessState, ...]:
        """See Keeper."""
        return running_state(self._layout).processes

    def lines(self, name: str, num_lines: int) -> list[str]:
        """See Keeper."""
        check_name(self, name)
        return tail_lines(self._layout.log_of(name), num_lines)

    def follow(self, name: str, num_lines: int) -> Iterator[str]:
        """See Keeper."""
        yield from (f"{line}\n" for line in self.lines(name, num_lines))
        path = self._layout.log_of(name)
        position = path.stat().st_size if path.exists() else 0
        while True:
            for text, end in new_text(path, position):
                yield text
                position = end
            time.sleep(_FOLLOW_S)


def check_name(keeper: Keeper, name: str) -> None:
    """Raises UnknownProcessError."""
    names = keeper.names()
    if not names:
        raise UnknownProcessError(f"there is no process {name!r}, as the stack has none: start it first")
    if name not in names:
        raise UnknownProcessError(f"there is no process {name!r} in the stack: choose one of {', '.join(names)}")
