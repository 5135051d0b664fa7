"""One completion as an ASGI response: it asks the backend, streams or collects, and writes the request log.

The status is decided by the first piece: until then any error is a plain HTTP error. When the client goes away, the
work is cancelled, which ends the request in the backend.
"""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.serving import RequestLog
from ropewalk.runtime.http_server import client_left
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.errors import CLIENT_GONE, ApiError, api_error
from ropewalk.serving.adapters.gateway.exchange import PROVIDER
from ropewalk.serving.adapters.gateway.frames import DONE, Frames, event
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.domain.keys import INTERNAL
from ropewalk.serving.domain.routes import Version
from ropewalk.serving.ports import RequestLogSink
from ropewalk.telemetry.metrics import record
from ropewalk.telemetry.spans import current_traceparent, span

logger = logging.getLogger(__name__)

_AWAY = 503  # the one status that says something about the health of the model


@dataclass(frozen=True)
class Shared:
    """What every answer needs."""

    fleet: Fleet
    admission: Admission
    sink: RequestLogSink


class Answer(Response):
    """The response to a request for a completion by a model version."""

    def __init__(self, version: Version, generation: Generation, frames: Frames, shared: Shared) -> None:
        self._version = version
        self._generation = generation
        self._frames = frames
        self._exchange = frames.exchange
        self._shared = shared
        self._begun = False  # once the head is sent, an error can only be an event of the stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run until the answer is complete or the client has gone."""
        work = asyncio.ensure_future(self._work(scope, receive, send))
        gone = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait((work,))
        if not work.cancelled():
            work.result()

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, error = CLIENT_GONE, "the client went away"
        target = self._version.target
        try:
            reason = await outcome_or_error(self._admitted(send))
            if reason is None:
                status, error = 200, ""
                self._shared.fleet.vitals.answered(target)
                return
            failed = api_error(reason)
            if failed.status == _AWAY:
                self._shared.fleet.vitals.failed(target, time.monotonic())
            elif failed.code == "internal_error":
                logger.error("request %s", self._exchange.request_id, exc_info=reason)
            status, error = failed.status, str(failed)
            await self._fail(failed, scope, receive, send)
        finally:
            row = self._exchange.row(status, error)
            self._measure(row)
            self._shared.sink.put(row)

    async def _admitted(self, send: Send) -> None:
        with self._span() as current, self._shared.admission.admitted(self._version.target):
            self._exchange.trace_id = current_traceparent()[3:35]
            with span(f"generate on {self._version.backend}", kind=SpanKind.CLIENT, target=self._version.target):
                await self._complete(send)
            current.set(
                input_tokens=self._exchange.num_input_tokens,
                output_tokens=self._exchange.num_output_tokens,
                finish_reasons=self._exchange.finish_reason,
            )

    async def _complete(self, send: Send) -> None:
        exchange = self._exchange
        pieces = self._shared.fleet.generate(self._version, self._generation)
        async with aclosing(pieces):
            async for piece in pieces:
                exchange.add(piece)
                if exchange.stream:
                    await self._send_piece(piece, send)
        if exchange.stream:
            usage = self._frames.usage_chunk() if self._frames.with_usage else b""
            await self._send(send, usage + DONE, more=False)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self._head("application/json")})
        await self._send(send, self._frames.whole(), more=False)

    async def _send_piece(self, piece: Piece, send: Send) -> None:
        if not self._begun:
            self._begun = True
            headers = self._head("text/event-stream; charset=utf-8")
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send(send, self._frames.chunk(piece), more=True)

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _fail(self, error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
        if self._begun:
            await self._send(send, event(error.body()), more=False)
        else:
            await error.response()(scope, receive, send)

    def _head(self, content_type: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", content_type.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-request-id", self._exchange.request_id.encode()),
            (b"x-ropewalk-model-version", self._version.name.encode()),
        ]

    def _subject(self) -> dict[str, AttributeValue]:
        """What was done by which model: the same on the span and on every measurement."""
        return {
            "operation": self._exchange.operation,
            "provider": PROVIDER,
            "model": self._frames.model,
            "response_model": self._version.name,
        }

    def _measure(self, row: RequestLog) -> None:
        subject = self._subject()
        record("gen_ai.server.request.duration", row.latency_ms / 1000, **subject, status_code=row.status)
        record("gen_ai.client.token.usage", row.prompt_tokens, **subject, token_type="input")
        record("gen_ai.client.token.usage", row.completion_tokens, **subject, token_type="output")
        if row.ttft_ms:
            record("gen_ai.server.time_to_first_token", row.ttft_ms / 1000, **subject)
        if row.completion_tokens > 1:
            per_token_ms = (row.latency_ms - row.ttft_ms) / (row.completion_tokens - 1)
            record("gen_ai.server.time_per_output_token", per_token_ms / 1000, **subject)

    def _span(self) -> span:
        """Below the client's span; what the stack itself asks belongs to the run of the model."""
        asked_by, ours = self._exchange.traceparent, self._exchange.key_id == INTERNAL
        run: dict[str, AttributeValue] = {"run_id": self._version.run_id} if ours else {}
        return span(
            f"{self._exchange.operation} {self._version.model}",
            traceparent="" if ours else asked_by,
            cause=asked_by if ours else None,
            kind=SpanKind.SERVER,
            **self._subject(),
            **run,
            response_id=self._exchange.request_id,
            max_tokens=self._generation.max_tokens,
            temperature=self._generation.temperature,
            top_p=self._generation.top_p,
            checkpoint_id=self._version.checkpoint_id,
        )
