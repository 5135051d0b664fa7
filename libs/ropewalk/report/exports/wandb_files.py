"""Weights & Biases, offline: `wandb sync DIR/wandb/offline-run-*` uploads it. Nothing here talks to a server."""

from pathlib import Path

import wandb

from ropewalk.report.exports.rows import StepValues
from ropewalk.report.exports.writers import already_there


class _OfflineRun:
    def __init__(self, run_id: str, into: Path) -> None:
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
        quiet.x_disable_stats = quiet.x_disable_meta = True  # the numbers of this machine are not the run's
        quiet.x_save_requirements = False
        self._run = wandb.init(
            mode="offline", project="ropewalk", id=run_id, name=run_id, dir=str(into), settings=quiet
        )

    def add(self, steps: list[StepValues]) -> None:
        for each in steps:
            values = {f"train/{name}": value for name, value in each.values.items()}
            self._run.log({**values, "_timestamp": each.time_unix}, step=each.step)

    def close(self) -> None:
        self._run.finish()
        wandb.teardown()  # its process writes the last block of the file when it ends


def open_run(run_id: str, into: Path) -> _OfflineRun:
    """Write into DIR/wandb/offline-run-<time>-<run>."""
    if any((into / "wandb").glob(f"offline-run-*-{run_id}")):
        raise already_there(run_id, into)
    return _OfflineRun(run_id, into)
