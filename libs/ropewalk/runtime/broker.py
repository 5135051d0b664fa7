"""FastStream's broker, for request and reply subscribers of a service, on the connection that the bus has.

A question is a JSON object that FastStream checks against the annotations of its subscriber; nothing at all counts as
an empty one. Whoever asks gets an answer: what is wrong with a question, and that an answer is too large or could not
be made, is told as `{"error": sentence}`.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from faststream import BaseMiddleware, ExceptionMiddleware
from faststream.message import StreamMessage
from faststream.nats import NatsBroker
from nats.aio.client import Client
from pydantic import ValidationError
from pydantic_core import to_json

from ropewalk.bus.codec import sentence_of
from ropewalk.events.foreign import one_line

logger = logging.getLogger(__name__)

_MOST_BYTES = 1024**2 - 4096  # a message may have 1 MiB with its headers
_LONGEST_SENTENCE = 1000  # characters
_MOST_SENTENCES = 5


class SharedBroker(NatsBroker):
    """It neither opens nor closes the connection: stages and consumers need it longer."""

    def __init__(self, connected: Callable[[], Client]) -> None:
        answering = ExceptionMiddleware(publish_handlers={ValueError: _what_is_wrong, Exception: _what_failed})
        super().__init__(logger=None, codec=_Bodies(), middlewares=(_InboxesOnly, answering))
        self._connected = connected

    async def _connect(self) -> Client:
        connection = self._connected()
        self.config.connect(connection)
        return connection

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop the subscribers and let go of the connection."""
        self._connection = None
        await super().stop(exc_type, exc_val, exc_tb)


class _InboxesOnly(BaseMiddleware):
    """Answers go to an inbox and nowhere else.

    The server lets a service answer on whatever subject a question names, so that whoever may ask could otherwise have
    it write into the log, with the rights of the service.
    """

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]) -> Any:
        """Let a question that names something else go without an answer."""
        if not msg.reply_to.startswith("_INBOX"):
            msg.reply_to = ""
        return await call_next(msg)


class _Bodies:
    """Between bytes and values, both ways."""

    async def decode(self, msg: StreamMessage[Any]) -> Any:
        """What is not JSON stays bytes, which then fit no annotation: an error here would leave the asker waiting."""
        try:
            return json.loads(msg.body or b"{}")
        except (ValueError, RecursionError):
            return msg.body

    async def encode(self, msg: Any, serializer: object = None) -> tuple[bytes, str | None]:
        """Bytes as they are, everything else as JSON. A message that is too large would never be sent."""
        body = msg if isinstance(msg, bytes) else to_json(msg)
        if len(body) > _MOST_BYTES:
            logger.error("an answer has %d bytes, which is too much", len(body))
            body = to_json({"error": f"the answer has {len(body):,} bytes: ask for less"})
        return body, None


def _what_is_wrong(error: ValueError) -> dict[str, str]:
    sentences = [str(error)]
    if isinstance(error, ValidationError):
        sentences = [sentence_of(dict(item)) for item in error.errors()[:_MOST_SENTENCES]]
    return {"error": one_line("; ".join(sentences), _LONGEST_SENTENCE)}


def _what_failed(error: Exception) -> dict[str, str]:
    """One question that meets an error of ours harms no other one."""
    logger.error("a question could not be answered", exc_info=error)
    return {"error": f"the question could not be answered ({type(error).__name__}): the log of the service has more"}
