"""The live projector's answers: bounded whatever a recipe, an owner or a reason holds, and complete by pages."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from faststream import Path
from faststream.nats import TestNatsBroker

from ropewalk.bus.wire import Frame
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunFailed,
    RunRejected,
    StageInterrupted,
    StageStarted,
    SubmitRun,
)
from ropewalk.projections.answering import MAX_PIECE, MAX_RUNS, Answers, Question
from ropewalk.projections.asking import SUBJECT, ask, ask_runs
from ropewalk.projections.projector import Projector
from ropewalk.runtime.broker import SharedBroker

HUGE = "x" * 900_000


def answers_after(stored_messages: Any) -> Answers:
    projector = Projector()
    for stored in stored_messages:
        projector.apply(stored)
    return Answers(projector)


async def asked(answers: Answers, subject: str, body: bytes) -> bytes:
    """What a service that has these answers says on the bus, in memory."""
    broker = SharedBroker(lambda: None)  # type: ignore[arg-type, return-value]

    @broker.subscriber(f"{SUBJECT}.{{name}}")
    async def answer(question: Question, name: Annotated[str, Path()]) -> bytes:
        return answers.answer(name, question)

    async with TestNatsBroker(broker) as in_memory:
        return (await in_memory.request(body, subject, timeout=10)).body


@dataclass
class WireTo:
    """A connection on which these answers are given, as far as they fit into a message."""

    answers: Answers
    num_asked: int = 0

    def request(self, subject: str, body: bytes, timeout_s: float | None = None) -> Frame:
        self.num_asked += 1
        answer = asyncio.run(asked(self.answers, subject, body))
        assert len(answer) < 1 << 20
        return Frame(b"", b"", answer)


@pytest.mark.parametrize(
    "messages",
    [
        [SubmitRun(run_id="big", recipe={"name": HUGE})],
        [SubmitRun(run_id="big", recipe={"name": [HUGE, {"a": HUGE}]})],
        [SubmitRun(run_id="big", recipe={"base": {HUGE: 1}})],
        [RunAccepted(run_id="big", recipe={"name": HUGE}, recipe_sha256="0", owner=HUGE)],
        [RunRejected(run_id="big", violations=(HUGE,))],
        [RunRejected(run_id="big", violations=("x" * 90,) * 10_000)],
        [RunFailed(run_id="big", stage="train", message=HUGE)],
        [RunCancelled(run_id="big", mode="now", reason=HUGE)],
        [
            StageStarted(run_id="big", stage="s", epoch=1),
            StageInterrupted(run_id="big", stage="s", epoch=1, cause=HUGE),
        ],
    ],
)
def test_one_huge_run_hides_no_other(log: Any, messages: Any) -> None:
    others = [SubmitRun(run_id=f"run-{number}", recipe={"name": "mine"}) for number in range(3)]
    answers = answers_after(log(*others[:2], *messages, others[2]))
    found = ask_runs(WireTo(answers), 20)  # type: ignore[arg-type]
    assert [run["run_id"] for run in found["runs"]] == ["run-0", "run-1", "big", "run-2"]
    assert len(json.dumps(found)) < 6000


def test_more_runs_than_a_message_holds_come_page_by_page_in_their_order(log: Any) -> None:
    runs = [RunFailed(run_id=f"run-{number:04}", stage="train", message=f"{number} {HUGE}") for number in range(800)]
    answers = answers_after(log(*runs))
    wire: Any = WireTo(answers)
    found = ask_runs(wire, MAX_RUNS)
    assert [run["run_id"] for run in found["runs"]] == [run.run_id for run in runs]
    assert (found["total"], found["matching"], found["before"]) == (800, 800, 0)
    assert wire.num_asked > 2
    assert [run["run_id"] for run in ask_runs(wire, 300)["runs"]] == [run.run_id for run in runs[-300:]]
    assert len(answers.answer("run_list", Question())) < MAX_PIECE + 1000


def test_pages_of_one_status_hold_only_such_runs(log: Any) -> None:
    messages: list[Any] = []
    for number in range(600):
        messages.append(RunFailed(run_id=f"failed-{number}", stage="train", message=HUGE))
        messages.append(SubmitRun(run_id=f"waits-{number}", recipe={}))
    found = ask_runs(WireTo(answers_after(log(*messages))), MAX_RUNS, "failed")  # type: ignore[arg-type]
    assert {run["status"] for run in found["runs"]} == {"failed"}
    assert (len(found["runs"]), found["matching"], found["total"]) == (600, 600, 1200)


@pytest.mark.parametrize(
    ("question", "body"),
    [
        ("run_list", b'{"limit": "many"}'),
        ("run_list", b'{"limit": ' + b"9" * 5000 + b"}"),
        ("run_list", b'{"before": [1]}'),
        ("run_list", b'{"status": "' + HUGE.encode() + b'"}'),
        ("run_list", b"[" * 2000),
        ("x" * 900_000, b"{}"),
        ("runs", b'{"sequence": "x"}'),
    ],
)
def test_a_question_that_is_none_is_answered_with_a_short_sentence(log: Any, question: str, body: bytes) -> None:
    answers = answers_after(log(SubmitRun(run_id="a", recipe={})))
    answer = asyncio.run(asked(answers, f"{SUBJECT}.{question}", body))
    assert len(answer) < 1500
    assert "error" in json.loads(answer)


def test_an_empty_log_has_no_pages(log: Any) -> None:
    wire: Any = WireTo(answers_after(log()))
    assert ask_runs(wire, 20)["runs"] == []
    assert ask(wire, "run_list", before=7)["before"] == 0
