"""What others answer to whoever asks for a status: a time that no calendar has makes an answer unreadable."""

import json
import socketserver
import threading
from collections.abc import Iterator

import pytest
from pydantic import TypeAdapter, ValidationError

from ropewalk.bus.waiting import Waiting
from ropewalk.bus.wire import Address
from ropewalk.cli.screens.deployment import bus_json
from ropewalk.status.asking import Status, looked_at
from ropewalk.status.problems import problems_of
from ropewalk.status.seen import AlarmSeen, BrokerView, RunSeen, Seen, ServiceAnswer

FARTHEST = 2.5e11  # in the year 9892


def an_answer(since: float) -> Status:
    """Every time of an answer is this one; what is wrong follows from it where it can be computed."""
    seen = Seen(
        now=since,
        broker=BrokerView(answers=True),
        services=(ServiceAnswer(service="trainer", answered=True, waiting=Waiting(num_sends=1, since=since)),),
        runs=(RunSeen(run_id="r", stage="train", queued_since=since),),
        alarms=(AlarmSeen(alarm_id="a", model="m@1", detail="d", since=since),),
    )
    return Status(seen=seen, problems=problems_of(seen) if 0 <= since <= FARTHEST else ())


def test_the_farthest_time_of_an_answer_can_be_shown() -> None:
    answer = TypeAdapter(Status).validate_json(TypeAdapter(Status).dump_json(an_answer(FARTHEST)))
    assert any(
        (problem["since"] or "").startswith("9892") for problem in bus_json(answer.seen, answer.problems)["problems"]
    )


@pytest.mark.parametrize("since", [1e300, -1.0, 2.6e11])
def test_every_time_of_an_answer_is_bounded(since: float) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Status).validate_json(json.dumps(TypeAdapter(Status).dump_python(an_answer(since))))
    names = {error["loc"][-1] for error in refused.value.errors()}
    assert names == {"now", "since", "queued_since"}
    assert refused.value.error_count() == 4


@pytest.mark.parametrize("since", ["1e300", "NaN", "Infinity"])
def test_the_time_of_a_problem_is_bounded_too(since: str) -> None:
    problem = f'{{"kind": "k", "severity": "error", "what": "w", "remedy": "r", "since": {since}}}'
    seen = TypeAdapter(Seen).dump_json(an_answer(1.0).seen).decode()
    with pytest.raises(ValidationError, match=r"problems\.0\.since"):
        TypeAdapter(Status).validate_json(f'{{"seen": {seen}, "problems": [{problem}]}}')


class _Bus(socketserver.StreamRequestHandler):
    """As much of a NATS server as a question needs. Every service says that a send waits since 1e300; the rest is
    refused."""

    def handle(self) -> None:
        self.wfile.write(b"INFO {}\r\n")
        for line in self.rfile:
            words = line.split()
            if words[0] == b"PING":
                self.wfile.write(b"PONG\r\n")
            elif words[0] == b"PUB":
                self.rfile.readline()
                asked_a_service = words[1].startswith(b"ctl.ping.")
                bodies = [b'{"waiting": {"num_sends": 1, "since": 1e300}}' if asked_a_service else b'{"error": {}}']
                if words[1] == b"ctl.ping.serving":
                    bodies = [b'{"instance": "b", "reasons": ["no model"]}', b'{"instance": "a"}']
                for body in bodies:
                    self.wfile.write(b"MSG %s 1 %d\r\n%s\r\n" % (words[2], len(body), body))


@pytest.fixture
def bus() -> Iterator[Address]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Bus) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield Address(url=f"nats://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def test_a_service_that_answers_what_cannot_be_read_is_shown_as_one_that_does_not_answer(bus: Address) -> None:
    (answer,) = looked_at(bus, ("trainer",)).seen.services
    assert (answer.answered, answer.waiting) == (False, Waiting())


def test_every_instance_of_a_service_is_heard_and_named(bus: Address) -> None:
    well, unwell = looked_at(bus, ("serving",)).seen.services
    assert (well.name, well.reasons) == ("serving (a)", ())
    assert (unwell.name, unwell.reasons) == ("serving (b)", ("no model",))
