"""Messages as they lie in a stream, byte for byte, without a consumer.

`$JS.API.DIRECT.GET` may be answered by a mirror, which can be a moment behind: good for history, not for decisions.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.client import Client

from ropewalk.runtime.errors import BusError

_PAGE = 256
_TIMEOUT_S = 10.0
_END = ("204", "404")
_WHERE = {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"}


@dataclass(frozen=True, kw_only=True)
class RawMessage:
    """One message. `time` is RFC 3339 with nanoseconds, as the server wrote it."""

    sequence: int
    time: str
    subject: str
    headers: dict[str, str]
    body: bytes


async def raw_messages(
    connection: Client, stream: str, subject_filter: str = ">", first: int = 1
) -> AsyncIterator[RawMessage]:
    """Everything stored now on matching subjects, oldest first. Raises BusError when the server does not answer."""
    while True:
        page = [message async for message in _page(connection, stream, subject_filter, first)]
        for message in page:
            yield message
        if len(page) < _PAGE:
            return
        first = page[-1].sequence + 1


async def _page(connection: Client, stream: str, subject_filter: str, first: int) -> AsyncIterator[RawMessage]:
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    request = {"seq": first, "next_by_subj": subject_filter, "batch": _PAGE}
    try:
        await connection.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
        while True:
            raw = await asyncio.wait_for(subscription.next_msg(timeout=_TIMEOUT_S), _TIMEOUT_S)
            headers = dict(raw.headers or {})
            if "Nats-Sequence" not in headers:
                if headers.get("Status") in _END:
                    return
                raise TimeoutError
            yield RawMessage(
                sequence=int(headers["Nats-Sequence"]),
                time=headers["Nats-Time-Stamp"],
                subject=headers["Nats-Subject"],
                headers={name: value for name, value in headers.items() if name not in _WHERE},
                body=raw.data,
            )
    except TimeoutError:
        raise BusError(
            f"the stream {stream} does not answer: is `ropewalk bus apply` done, and may you read it?"
        ) from None
    finally:
        await subscription.unsubscribe()
