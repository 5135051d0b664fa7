"""How many requests may be in flight: in all, and per model version while one is retired. And whether we leave."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ropewalk.serving.errors import ServingError


class FullError(ServingError):
    """No more requests now."""


class Admission:
    """Counts requests. Not thread-safe: it lives on one event loop."""

    def __init__(self, limit: int, is_leaving: Callable[[], bool] = lambda: False) -> None:
        self.is_leaving = is_leaving  # then readiness says no: whoever comes all the same is still answered
        self._limit = limit
        self._in_flight: Counter[str] = Counter()  # by target

    @contextmanager
    def admitted(self, target: str) -> Iterator[None]:
        """Count a request for the time of a block. Raises FullError."""
        if self._in_flight.total() >= self._limit:
            raise FullError(f"{self._limit} requests are in flight, which is the limit: try again in a moment")
        self._in_flight[target] += 1
        try:
            yield
        finally:
            self._in_flight[target] -= 1

    def in_flight(self, target: str) -> int:
        """Requests that this model version still answers."""
        return self._in_flight[target]
