"""What a worker says goes out in order; step metrics travel in packs, about twice a second.

A kill takes the newest pack with it. Steps after the newest checkpoint are taken again, and those before it have their
rows in a file of the checkpoint, from where they are told if the checkpoint itself could not be announced any more.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ropewalk.events.training import StepMetrics
from ropewalk.trainer.adapters.worker.job import StepsDone, WorkerReport
from ropewalk.trainer.domain.sight import Phase

METRICS = "metrics.jsonl"  # of a checkpoint: the steps since the one before, a line each
_INTERVAL_S = 0.5
_MAX_ROWS = 200


def step_row(spent: Mapping[Phase, float], waited_s: float, **values: Any) -> StepMetrics:
    """The metrics of a step: the seconds by phase since the row before, and what else there is to say.

    `waited_s`: for data, by the rank that waited longest; the others wait for it in the first collective.
    """
    step_s = spent["data"] + spent["step"] + spent["compile"]
    named = {"checkpoint_s": spent["save"], "compile_s": spent["compile"], "evaluate_s": spent["evaluate"]}
    return StepMetrics(
        time_unix=time.time(),
        step_s=step_s,
        data_s=min(waited_s, step_s - spent["compile"]),
        other_s=max(0.0, sum(spent.values()) - step_s - spent["save"] - spent["evaluate"]),
        **named,
        **values,
    )


class Reporter:
    """A rank's voice. Rows are collected; all else is said at once, after the rows that came before it."""

    def __init__(self, report: Callable[[WorkerReport], None]) -> None:
        self._report = report
        self._rows: list[StepMetrics] = []
        self._due = time.monotonic()

    def add(self, row: StepMetrics) -> None:
        """Report now if the last pack is old enough."""
        self._rows.append(row)
        if time.monotonic() >= self._due or len(self._rows) >= _MAX_ROWS:
            self._flush()

    def say(self, report: WorkerReport) -> None:
        """Report what is no row."""
        self._flush()
        self._report(report)

    def _flush(self) -> None:
        if self._rows:
            self._report(StepsDone(rows=tuple(self._rows)))
        self._rows = []
        self._due = time.monotonic() + _INTERVAL_S


def encode_rows(rows: Iterable[StepMetrics]) -> bytes:
    """The content of the file."""
    return "".join(f"{row.model_dump_json()}\n" for row in rows).encode()


def read_rows(folder: Path) -> tuple[StepMetrics, ...]:
    """The rows in a checkpoint; those of older releases hold none. Raises ValidationError for other lines."""
    path = folder / METRICS
    lines = path.read_bytes().splitlines() if path.exists() else ()
    return tuple(StepMetrics.model_validate_json(line) for line in lines)
