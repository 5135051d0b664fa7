"""Who writes metrics for which tool. A library is imported when its files are asked for, and not before."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ropewalk.client.errors import ClientError
from ropewalk.report.exports.rows import StepValues

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow-skinny"}


class ExportError(ClientError):
    """Metrics cannot be written there. The text is for the user."""


class MetricWriter(Protocol):
    """Takes the steps of one run and leaves files in a folder."""

    def add(self, steps: list[StepValues]) -> None:
        """Write these steps, which follow those before."""
        ...

    def close(self) -> None:
        """All is there."""
        ...


def open_writer(tool: str, run_id: str, into: Path) -> MetricWriter:
    """The writer of a tool for a run. Raises ExportError if its library is missing or the run is there already."""
    try:
        module = importlib.import_module(f"ropewalk.report.exports.{tool}_files")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != tool:
            raise
        raise ExportError(
            f"{tool} is not installed here: `pip install 'ropewalk[{tool}]'` or `pip install {PACKAGES[tool]}` adds it"
        ) from None
    into.mkdir(parents=True, exist_ok=True)
    make: Callable[[str, Path], MetricWriter] = module.open_run
    return make(run_id, into)


def already_there(run_id: str, into: Path) -> ExportError:
    """What is written twice would be drawn twice."""
    return ExportError(f"{into} has {run_id} already: remove it or choose another folder with --into")
