"""MLflow's file store: `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri DIR` shows it.

MLflow maintains that store without developing it, and wants to be told that it is meant. The alternative, a database,
needs its server's libraries.
"""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE

from ropewalk.report.exports.rows import StepValues
from ropewalk.report.exports.writers import already_there

_MOST = 1000  # metrics that one call takes


class _StoredRun:
    def __init__(self, run_id: str, into: Path) -> None:
        self._client = MlflowClient(tracking_uri=into.resolve().as_uri())
        found = self._client.get_experiment_by_name("ropewalk")
        experiment = found.experiment_id if found is not None else self._client.create_experiment("ropewalk")
        if self._client.search_runs([experiment], f"attributes.run_name = '{run_id}'", max_results=1):
            raise already_there(run_id, into)
        self._id = self._client.create_run(experiment, run_name=run_id).info.run_id

    def add(self, steps: list[StepValues]) -> None:
        metrics = [
            Metric(name, value, int(1000 * each.time_unix), each.step)
            for each in steps
            for name, value in each.values.items()
        ]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self._id, metrics=metrics[first : first + _MOST])

    def close(self) -> None:
        self._client.set_terminated(self._id)


def open_run(run_id: str, into: Path) -> _StoredRun:
    """Write into the store DIR, experiment `ropewalk`."""
    MLFLOW_ALLOW_FILE_STORE.set(True)
    return _StoredRun(run_id, into)
