"""Step metrics travel in packs, about twice a second."""

import time
from collections.abc import Callable

from ropewalk.events.training import StepMetrics
from ropewalk.trainer.adapters.worker.job import StepsDone, WorkerReport

_INTERVAL_S = 0.5
_MAX_ROWS = 200


class MetricsReporter:
    """Collects rows and reports them. Nothing is lost at the end: `flush`."""

    def __init__(self, report: Callable[[WorkerReport], None]) -> None:
        self._report = report
        self._rows: list[StepMetrics] = []
        self._due = time.monotonic()

    def add(self, row: StepMetrics) -> None:
        """Report now if the last pack is old enough."""
        self._rows.append(row)
        if time.monotonic() >= self._due or len(self._rows) >= _MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Report what is left."""
        if self._rows:
            self._report(StepsDone(rows=tuple(self._rows)))
        self._rows = []
        self._due = time.monotonic() + _INTERVAL_S
