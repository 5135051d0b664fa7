"""The outbox of the Triton backend: pieces that pile up travel together, the end always arrives."""

import threading

from ropewalk.model.engine import Update
from ropewalk.serving.adapters.triton_backend.outbox import Outbox, Stream, merged


class Client:
    """The other end of a channel."""

    def __init__(self) -> None:
        self.gone = False
        self.received: list[Update] = []
        self.finals: list[bool] = []
        self.done = threading.Event()
        self.cancelled: list[int] = []

    def is_cancelled(self) -> bool:
        return self.gone

    def send(self, update: Update, *, final: bool) -> None:
        self.received.append(update)
        self.finals.append(final)
        if final:
            self.done.set()

    def stream(self, *, streaming: bool = True) -> Stream:
        stream = Stream(self, streaming=streaming, cancel=self.cancelled.append)
        stream.number = 7
        return stream


def token(number: int, reason: str = "") -> Update:
    return Update(text=str(number), token_ids=(number,), finish_reason=reason, num_output_tokens=number + 1)


def test_a_burst_of_tokens_becomes_few_messages_with_every_token_in_order() -> None:
    outbox, client = Outbox(), Client()
    stream = client.stream()
    for number in range(200):
        outbox.put(stream, token(number, "length" if number == 199 else ""))
    assert client.done.wait(5)
    outbox.close()
    assert [one for update in client.received for one in update.token_ids] == list(range(200))
    assert len(client.received) < 50
    assert client.finals[-1]
    assert client.finals.count(True) == 1


def test_a_request_that_does_not_stream_gets_one_message() -> None:
    outbox, client = Outbox(), Client()
    stream = client.stream(streaming=False)
    for number in range(40):
        outbox.put(stream, token(number, "stop" if number == 39 else ""))
    assert client.done.wait(5)
    outbox.close()
    assert [len(update.token_ids) for update in client.received] == [40]


def test_a_client_that_went_away_is_cancelled_in_the_engine_and_still_closed() -> None:
    outbox, client = Outbox(), Client()
    client.gone = True
    stream = client.stream()
    outbox.put(stream, token(0))
    deadline = threading.Event()
    while not client.cancelled and not deadline.wait(0.01):
        pass
    outbox.put(stream, Update(finish_reason="cancelled"))
    assert client.done.wait(5)
    outbox.close()
    assert client.cancelled == [7]
    assert client.finals == [True]


def test_the_reason_of_a_failed_completion_arrives_with_its_last_tokens() -> None:
    said = merged([Update(text="a", token_ids=(1,)), Update(finish_reason="error", error="not a number")])
    assert (said.text, said.token_ids, said.finish_reason, said.error) == ("a", (1,), "error", "not a number")
