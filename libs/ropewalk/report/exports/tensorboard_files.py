"""TensorBoard event files: `tensorboard --logdir DIR` shows every run that was written into DIR."""

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from ropewalk.report.exports.rows import StepValues
from ropewalk.report.exports.writers import already_there


class _Events:
    def __init__(self, folder: Path) -> None:
        self._file = EventFileWriter(str(folder))

    def add(self, steps: list[StepValues]) -> None:
        for each in steps:
            values = [Summary.Value(tag=f"train/{tag}", simple_value=value) for tag, value in each.values.items()]
            self._file.add_event(Event(wall_time=each.time_unix, step=each.step, summary=Summary(value=values)))

    def close(self) -> None:
        self._file.close()


def open_run(run_id: str, into: Path) -> _Events:
    """Write into DIR/<run>."""
    if any((into / run_id).glob("*")):
        raise already_there(run_id, into)
    return _Events(into / run_id)
