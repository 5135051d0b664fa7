"""Which tasks are under way, and what is handed out again once a machine is gone."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Task = TypeVar("Task", bound=Hashable)


class InFlight(Generic[Task]):
    """Tasks, each with the place of its argument. A place may have several: the first that ends counts."""

    def __init__(self, machines: frozenset[str]) -> None:
        """`machines` are those on which the tasks may run."""
        self._machines = machines
        self._places: dict[Task, int] = {}

    @property
    def tasks(self) -> list[Task]:
        """In the order in which they were handed out."""
        return list(self._places)

    def add(self, task: Task, place: int) -> None:
        self._places[task] = place

    def end(self, task: Task) -> tuple[int, list[Task]]:
        """The place of a task that has ended, and the tasks that are now of no use."""
        place = self._places.pop(task)
        spare = [other for other, its_place in self._places.items() if its_place == place]
        for other in spare:
            del self._places[other]
        return place, spare

    def orphaned(self, machines: frozenset[str]) -> list[int]:
        """Places to hand out again, now that only these machines are there.

        All of them as soon as one machine is gone: it cannot be known what it was working on.
        """
        gone, self._machines = self._machines - machines, machines
        return sorted(set(self._places.values())) if gone else []
