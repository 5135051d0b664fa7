"""nats-py's client, except that whatever the server does not permit fails at once, with an error that names the user.

The server answers a forbidden publish or subscribe only with an asynchronous error, so nats-py lets a request wait
for its timeout and says the reason to nobody. This client fails whatever waits for that subject, remembers the
refusal so that the service can say that it is not ready, and forgets it with the next attempt or connection, which
may have other rights. A key that was replaced while connected is read again instead of closing the client for good.
"""

import asyncio
import contextlib
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, Transport

from ropewalk.bus.errors import IDENTIFY, BusError, DeniedError

logger = logging.getLogger(__name__)

_REFUSAL = re.compile(r"permissions violation for (publish|subscription)[^\"]*\"([^\"]+)\"")
_REMEMBERED_S = 1.0  # then the server is asked again: rights may have changed
_MOST_REMEMBERED = 100  # subjects: a sender of many must not fill the memory
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
_CERTAIN_AT = 2  # a server that just reads its users anew knows nobody for a moment
_PLAIN_AT = 3
_UNKNOWN_USER = ("authorization violation", "authentication revoked")


class DeniedSubjects:
    """What the server has refused to one connection of `user`, by subject."""

    def __init__(self, user: str) -> None:
        self.user = user
        self._by_subject: dict[str, tuple[float, DeniedError]] = {}

    def reason(self) -> str:
        """The last refusal as a sentence, empty if there was none. A service with a refusal is not ready.

        An answer that came too late or twice is refused as well, which is no fault of ours.
        """
        refusals = [denied for subject, (_, denied) in self._by_subject.items() if not subject.startswith("_inbox")]
        if not refusals:
            return ""
        *others, last = refusals
        return f"{last} (and {len(others)} other refusals)" if others else str(last)

    def holds(self, subject: str) -> bool:
        """Whether the last attempt at this subject was refused."""
        return _key(subject) in self._by_subject

    def raise_for(self, subject: str) -> None:
        """Raises DeniedError if the subject was refused lately. After that the server is asked again: it may have
        been given other rights."""
        if not self._by_subject or (found := self._by_subject.get(_key(subject))) is None:
            return
        at, error = found
        if time.monotonic() - at < _REMEMBERED_S:
            raise error
        del self._by_subject[_key(subject)]

    def read(self, error: Exception) -> tuple[str, DeniedError] | None:
        """The subject and the refusal, if an asynchronous error of nats-py is one."""
        match = _REFUSAL.search(str(error).lower())
        if match is None:
            return None
        what = "publish on" if match[1] == "publish" else "subscribe to"
        remedy = f"`ropewalk keys show {self.user}` says what it may"
        denied = DeniedError(f"user {self.user!r} may not {what} {match[2]!r}: {remedy}")
        logger.error("refused by the bus: %s", denied)
        self._by_subject.pop(match[2], None)
        self._by_subject[match[2]] = (time.monotonic(), denied)
        if len(self._by_subject) > _MOST_REMEMBERED:
            del self._by_subject[next(iter(self._by_subject))]
        return match[2], denied


class _Streams(TcpTransport):
    """nats-py's, which after a TLS handshake also tells the stream what it runs over. A stream that does not know can
    slow nobody down and has asyncio warn at every end of a connection."""

    def __init__(self, made: TcpTransport) -> None:
        super().__init__()
        self.__dict__.update(made.__dict__)

    async def connect_tls(self, *arguments: Any) -> None:
        """Without a handshake nothing is left open: the end of the plain stream would be waited for and never come."""
        plain = self._writer.transport
        try:
            await super().connect_tls(*arguments)
        except BaseException:
            plain.abort()
            self.__dict__.update(_io_reader=None, _io_writer=None)
            raise
        transport = self._writer.transport
        transport.get_protocol().connection_made(transport)

    @property
    def _writer(self) -> asyncio.StreamWriter:
        writer: asyncio.StreamWriter = self.__dict__["_io_writer"]
        return writer


class GuardedClient(Client):
    """A connection whose refused sends raise DeniedError. `user` is who we are to the server."""

    _transport: Transport | None  # nats-py's own

    def __init__(self, user: str) -> None:
        super().__init__()
        self.user = user
        self.denied = DeniedSubjects(user)
        self._hopeless = asyncio.Event()
        self._why_hopeless = ""
        self._not_known = 0
        self._not_tls = 0
        self._listeners: list[Callable[[], Awaitable[None]]] = []  # called after a reconnect, in this order
        self._asked: WeakKeyDictionary[asyncio.Future[Msg], str] = WeakKeyDictionary()  # request -> its subject

    async def connect(self, servers: str | list[str] = "nats://localhost:4222", **options: Any) -> None:
        """As nats-py does. Raises BusError if trying again would not help: the server does not know us, or we it."""
        callbacks = {"error_cb": self._on_error, "reconnected_cb": self._on_reconnected}
        connecting = asyncio.ensure_future(super().connect(servers, **{**options, **callbacks}))
        hopeless = asyncio.ensure_future(self._hopeless.wait())
        try:
            await asyncio.wait((connecting, hopeless), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (connecting, hopeless):
                task.cancel()
            await asyncio.wait((connecting, hopeless))  # until both have really ended
        if not self._hopeless.is_set():
            return await connecting
        await self.close()
        raise BusError(self._why_hopeless)

    @property
    def certificate(self) -> Mapping[str, object]:
        """What the server's certificate says, as `ssl` reads it; empty without TLS or connection."""
        writer = getattr(self._transport, "_io_writer", None)
        return (writer.get_extra_info("peercert") if writer else None) or {}

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this whenever a lost connection is back: the server has forgotten what was asked before."""
        self._listeners.append(callback)

    def forget_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call it no longer."""
        self._listeners.remove(callback)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, Any] | None = None
    ) -> None:
        """As nats-py does. Raises DeniedError for a subject that was refused before."""
        self.denied.raise_for(subject)
        if reply and self._resp_sub_prefix and (waiting := self._resp_map.get(reply[len(self._resp_sub_prefix) :])):
            self._asked[waiting] = _key(subject)
        await super().publish(subject, payload, reply, headers)

    async def subscribe(self, subject: str, *arguments: Any, **options: Any) -> Subscription:
        """As nats-py does, and waits for the server's word. Raises DeniedError."""
        self.denied.raise_for(subject)
        subscription = await super().subscribe(subject, *arguments, **options)
        if self.is_connected and not subject.startswith(self.inbox):
            with contextlib.suppress(nats.errors.Error):  # away: it is subscribed when the server is back
                await self._flush_pending(force_flush=True)  # or the ping of `flush` overtakes the subscription
                await self.flush()
            try:
                self.denied.raise_for(subject)
            except DeniedError:
                await subscription.unsubscribe()
                raise
        return subscription

    @property
    def inbox(self) -> str:
        """What the subjects begin with on which we are answered."""
        return f"{self._inbox_prefix.decode()}."

    async def _on_reconnected(self) -> None:
        for callback in list(self._listeners):
            await callback()

    async def _on_error(self, error: Exception) -> None:
        if refusal := self.denied.read(error):
            self._fail(*refusal)
        elif any(words in str(error).lower() for words in _UNKNOWN_USER):
            self._not_known += 1
            if self._not_known >= _CERTAIN_AT:
                self._give_up(f"the bus does not know user {self.user!r} by this key or password; {IDENTIFY}")
        elif isinstance(error, ssl.SSLCertVerificationError):
            self._give_up(f"the certificate of the bus does not verify ({error.verify_message})")
        elif isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
            self._not_tls += 1  # a server whom our hello reached late speaks plainly, too, to those who wait for it
            if self._not_tls >= _PLAIN_AT:
                self._give_up("the bus does not answer with TLS, and nothing is said to it without")
        else:
            logger.warning("bus: %s", error or type(error).__name__)

    def _give_up(self, sentence: str) -> None:
        """While connecting for the first time: an established client goes on trying, its server may be changing."""
        logger.error("%s", sentence)
        self._why_hopeless = sentence
        self._hopeless.set()

    def _fail(self, subject: str, error: DeniedError) -> None:
        for waiting in [future for future, asked in self._asked.items() if asked == subject and not future.done()]:
            waiting.set_exception(error)

    async def _select_next_server(self) -> None:
        await super()._select_next_server()
        if type(self._transport) is TcpTransport:
            self._transport = _Streams(self._transport)

    async def _attempt_reconnect(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()  # else TLS waits half a minute for the farewell of a server that is cut off
        await super()._attempt_reconnect()

    def _connect_command(self) -> bytes:
        self.denied = DeniedSubjects(self.user)  # the new connection may have other rights
        if self._nkeys_seed is not None:
            self._setup_nkeys_connect()  # the key may have been replaced since the last connection
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        if self.is_connected and any(words in err_msg.lower() for words in _UNKNOWN_USER):
            await self._process_op_err(nats.errors.AuthorizationError())  # reconnects with the key as it is then
            return
        await super()._process_err(err_msg)


def _key(subject: str) -> str:
    """nats-py lower-cases what the server says."""
    return subject.lower()
