"""JetStream's own snapshot of a stream, sent to a file and back: messages, sequences, times and consumers.

The server sends chunks and waits for an answer to those that carry a reply subject, so a slow disk slows it down.
nats-py has no function for this; the protocol is that of the nats CLI (`$JS.API.STREAM.SNAPSHOT|RESTORE`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from ropewalk.bus.errors import BusError

_END = "204"  # the status of the last chunk
_CHUNK_BYTES = 128 * 1024  # well below the largest message that a server takes
_ANSWER_S = 15.0
_STANDSTILL_S = 60.0  # without one more message in place

OnProgress = Callable[[str, int], None]
"""Called with the name of a stream and the bytes of it that have passed."""


class StreamPresentError(BusError):
    """A restored stream is there: an interrupted restore that had sent everything came into place in this moment."""


@dataclass(frozen=True)
class StreamSnapshot:
    """What the server says about a stream as it was; both go back to it with a restore."""

    config: dict[str, Any]
    state: dict[str, Any]


async def take_snapshot(connection: Client, stream: str, file: BinaryIO, progress: OnProgress) -> StreamSnapshot:
    """Write a stream with its consumers to a file. Raises BusError, OSError (a full disk)."""
    inbox = connection.new_inbox()
    try:
        chunks = await connection.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
        request = {"deliver_subject": inbox, "no_consumers": False, "jsck": True, "chunk_size": _CHUNK_BYTES}
        answer = await _ask(connection, f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(request).encode())
        num_bytes = 0
        while True:
            chunk = await chunks.next_msg(timeout=_ANSWER_S)
            headers = chunk.headers or {}
            if headers.get("Status", _END) != _END:
                reason = headers.get("Description") or headers["Status"]
                raise BusError(f"the server broke off the snapshot of {stream}: {reason}")
            if not chunk.data:
                await chunks.unsubscribe()
                return StreamSnapshot(config=answer["config"], state=answer["state"])
            file.write(chunk.data)
            num_bytes += len(chunk.data)
            progress(stream, num_bytes)
            if chunk.reply:  # the server waits for this answer before it sends more
                await chunk.respond(b"")
    except (nats.errors.Error, TimeoutError) as error:
        raise BusError(f"the bus stopped answering during the snapshot of {stream} ({_name(error)})") from None


async def send_snapshot(
    connection: Client, snapshot: StreamSnapshot, file: BinaryIO, progress: OnProgress
) -> dict[str, Any]:
    """Make a stream from a file; the server shows it only when it is whole. Returns its state. Raises BusError."""
    stream = snapshot.config["name"]
    request = json.dumps({"config": snapshot.config, "state": snapshot.state}).encode()
    try:
        answer = await _ask(connection, f"$JS.API.STREAM.RESTORE.{stream}", request)
        num_bytes = 0
        while chunk := file.read(_CHUNK_BYTES):
            accepted(await connection.request(answer["deliver_subject"], chunk, timeout=_ANSWER_S), stream)
            num_bytes += len(chunk)
            progress(stream, num_bytes)
        final = await _finish(connection, stream, answer["deliver_subject"])
    except (nats.errors.Error, TimeoutError) as error:
        raise BusError(f"the bus stopped answering while {stream} was restored ({_name(error)})") from None
    state: dict[str, Any] = accepted(final, stream)["state"]
    return state


async def _finish(connection: Client, stream: str, deliver_subject: str) -> Msg:
    """Say that this was all, and wait as long as messages come into place: the server stores them one by one."""
    inbox = connection.new_inbox()
    answer = await connection.subscribe(inbox)
    await connection.publish(deliver_subject, b"", reply=inbox)
    so_far, still_s = -1, 0.0  # messages in place; seconds since there was one more
    while True:
        try:
            return await answer.next_msg(timeout=1.0)
        except nats.errors.TimeoutError:
            reply = await connection.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=_ANSWER_S)
            present = json.loads(reply.data).get("state", {}).get("messages", 0)
            still_s = still_s + 1.0 if present == so_far else 0.0
            so_far = present
            if still_s > _STANDSTILL_S:
                raise


async def _ask(connection: Client, subject: str, request: bytes) -> dict[str, Any]:
    return accepted(await connection.request(subject, request, timeout=_ANSWER_S), subject.rpartition(".")[2])


def accepted(reply: Msg, stream: str) -> dict[str, Any]:
    """The answer, if it is none of refusal. Raises BusError."""
    answer: dict[str, Any] = json.loads(reply.data) if reply.data else {}
    if error := answer.get("error"):
        if "already in use" in error.get("description", ""):
            raise StreamPresentError(stream)
        if "closed pipe" in error.get("description", ""):
            raise BusError(
                f"the server gave up on {stream}, because its disk is too slow to sync every message of a block in "
                "five seconds: start it without `sync_interval: always` for the restore, and with it again afterwards"
            )
        raise BusError(f"the server refuses the stream {stream}: {error.get('description')}")
    return answer


def _name(error: BaseException) -> str:
    return str(error) or type(error).__name__
