"""What the flow tells the one who watches. The command line implements it; the flow does not print."""

from typing import Protocol

from ropewalk.local.state import StackState
from ropewalk.report.board import Board


class Screen(Protocol):
    """A place to show progress."""

    def stack(self, state: StackState) -> None:
        """The stack is starting."""
        ...

    def board(self, board: Board) -> None:
        """The stages moved on."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line of its own happened."""
        ...
