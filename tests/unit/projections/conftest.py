"""Logs for folds: stored messages made up in memory."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from parts.judge_files import a_card
from parts.task_set_files import registered

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.judge import JudgeRegistered
from ropewalk.events.task_set import TaskSetFrozen

BEGAN = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
Log = list[Stored[Message]]


def stored_log(messages: Iterable[Message]) -> Log:
    """Messages in the order of the log, one second apart, each the cause of the next."""
    return [
        Stored(
            sequence=number,
            time=BEGAN + timedelta(seconds=number),
            envelope=Envelope(
                id=f"e{number}",
                type=message.type_name(),
                source="test",
                time="",
                run_id=message.run_id,
                cause_id=f"e{number - 1}" if number > 1 else "",
            ),
            message=message,
        )
        for number, message in enumerate(messages, start=1)
    ]


@pytest.fixture(scope="session")
def log() -> Callable[..., Log]:
    """Makes a log of messages."""
    return lambda *messages: stored_log(messages)


@pytest.fixture(scope="session")
def sample_log() -> Log:
    """Four runs that went into production, two of them of the same model, interleaved as concurrent runs are.

    Beside them there are a task set and a judge.
    """
    path = Path(__file__).parents[3] / "benchmarks" / "parts" / "sample_log.py"
    spec = importlib.util.spec_from_file_location("sample_log", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runs = [list(module.run_messages(number)) for number in (0, 1, 7, 12)]
    longest = max(len(run) for run in runs)
    messages = [run[place] for place in range(longest) for run in runs if place < len(run)]
    return stored_log([messages[0], *_beside_runs(), *messages[1:]])


def _beside_runs() -> Iterator[Message]:
    yield from (registered("a"), registered("b"))
    yield TaskSetFrozen(task_set_id="copying", version=1, content="b")
    yield JudgeRegistered(judge_id="small", content="c", card=a_card("i"))
