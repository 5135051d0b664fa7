"""Metrics in the files of other tools, read back by these tools' own readers where they are installed."""

import sys

import pytest

from ropewalk.report.exports.rows import StepValues
from ropewalk.report.exports.writers import ExportError, open_writer

STEPS = [StepValues(step, 1.8e9 + step, {"loss": 5.0 - step, "lr": 0.5}) for step in range(3)]
# Each library warns of something of its own when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore")


def write(tool, into):
    writer = open_writer(tool, "run-1", into)
    writer.add(STEPS[:2])
    writer.add(STEPS[2:])
    writer.close()


@pytest.mark.parametrize("tool", ["tensorboard", "wandb", "mlflow"])
def test_a_library_that_is_missing_is_named_with_the_command_that_adds_it(tool, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, f"ropewalk.report.exports.{tool}_files", raising=False)
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(ExportError, match=rf"^{tool} is not installed here: `pip install 'ropewalk\[{tool}\]'`"):
        open_writer(tool, "run-1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensorboard_reads_what_was_written_for_it(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "run-1")).Reload()
    assert [(each.step, each.value, each.wall_time) for each in found.Scalars("train/loss")] == [
        (0, 5.0, 1.8e9), (1, 4.0, 1.8e9 + 1), (2, 3.0, 1.8e9 + 2)
    ]  # fmt: skip
    with pytest.raises(ExportError, match="has run-1 already"):
        open_writer("tensorboard", "run-1", tmp_path)


def log_records(content: bytes) -> list[bytes]:
    """The small records of a LevelDB log of one block, the format of wandb's files: checksum, length, kind, data."""
    found, place = [], 0
    while place + 7 <= len(content):
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        found.append(content[place + 7 : place + 7 + length])
        place += 7 + length
    return found


def test_weights_and_biases_reads_what_was_written_for_it(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    write("wandb", tmp_path)
    [path] = tmp_path.glob("wandb/offline-run-*-run-1/run-run-1.wandb")
    losses = []
    for data in log_records(path.read_bytes()[7:]):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        losses += [item.value_json for item in record.history.item if "train/loss" in (item.key, *item.nested_key)]
    assert [float(loss) for loss in losses] == [5.0, 4.0, 3.0]
    with pytest.raises(ExportError, match="has run-1 already"):
        open_writer("wandb", "run-1", tmp_path)


def test_mlflow_reads_what_was_written_for_it(tmp_path):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    write("mlflow", tmp_path)
    client = MlflowClient(tracking_uri=tmp_path.as_uri())
    [run] = client.search_runs([client.get_experiment_by_name("ropewalk").experiment_id])
    assert [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "loss")] == [
        (0, 5.0), (1, 4.0), (2, 3.0)
    ]  # fmt: skip
    with pytest.raises(ExportError, match="has run-1 already"):
        open_writer("mlflow", "run-1", tmp_path)
