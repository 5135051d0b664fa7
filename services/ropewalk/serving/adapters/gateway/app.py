"""The routes of the gateway. A request is checked here; `answer` does the rest."""

import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.foreign import one_line, quoted
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.task import Prompt
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.answer import Answer, Shared
from ropewalk.serving.adapters.gateway.body import Bodies
from ropewalk.serving.adapters.gateway.errors import ApiError, api_error, on_api_error, on_http_exception
from ropewalk.serving.adapters.gateway.exchange import PROVIDER, Exchange
from ropewalk.serving.adapters.gateway.frames import Frames
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.domain.neutral import RequestError
from ropewalk.serving.domain.openai import ChatRequest, CompletionRequest, parse
from ropewalk.serving.domain.routes import Version
from ropewalk.serving.ports import RequestLogSink
from ropewalk.telemetry.metrics import count
from ropewalk.telemetry.spans import current_traceparent, span

logger = logging.getLogger(__name__)

_MAX_MODEL = 100  # characters kept of a model's name that may be anything
_MAX_REASON = 500  # characters of what a template says
_MAX_NAMES = 20  # told to who asks for a model that is not there


class Gateway:
    """What the routes share."""

    def __init__(
        self, fleet: Fleet, keys: KeyRing, admission: Admission, sink: RequestLogSink, max_body_bytes: int
    ) -> None:
        self._fleet = fleet
        self._keys = keys
        self._sink = sink
        self._shared = Shared(fleet, admission, sink)
        self._bodies = Bodies(max_body_bytes)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/livez", self._live),
                Route("/healthz", self._health),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/v1/completions", partial(self._order, route="completions"), methods=["POST"]),
                Route("/v1/chat/completions", partial(self._order, route="chat"), methods=["POST"]),
            ],
            exception_handlers={HTTPException: on_http_exception, ApiError: on_api_error},
        )

    async def _live(self, _: Request) -> Response:
        """Whether this process serves, whatever becomes of the models."""
        known = self._fleet.ready.is_set()
        return JSONResponse({"live": known}, status_code=200 if known else 503)

    async def _health(self, _: Request) -> Response:
        """Whether it is worth sending requests: not while every model would answer with 503, or it ends."""
        answering, away = self._fleet.answering()
        ready = self._fleet.ready.is_set() and (bool(answering) or not away) and not self._shared.admission.is_leaving()
        return JSONResponse({"ready": ready, "models": answering, "away": away}, status_code=200 if ready else 503)

    async def _models(self, request: Request) -> Response:
        self._key_id(request)
        self._require_ready()
        cards = [_card(name, heaviest) for name, (heaviest, *_) in self._fleet.routes.names().items()]
        return JSONResponse({"object": "list", "data": cards})

    async def _model(self, request: Request) -> Response:
        key_id = self._key_id(request)
        name = request.path_params["name"]
        return JSONResponse(_card(name, self._resolve(name, key_id)))

    async def _order(self, request: Request, route: Literal["completions", "chat"]) -> Response:
        """Check a request; from here on every end of it is a row of the request log."""
        kind = "chatcmpl" if route == "chat" else "cmpl"
        key_id, traceparent = self._key_id(request), request.headers.get("traceparent", "")
        exchange = Exchange(f"{kind}-{secrets.token_hex(12)}", key_id, route, traceparent)
        checked = await outcome_or_error(self._checked(request, exchange))
        if isinstance(checked, Answer):
            return checked
        error = api_error(checked)
        if error.code == "internal_error":
            logger.error("request %s", exchange.request_id, exc_info=checked)
        self._refuse(exchange, error)
        return error.response()

    def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        """A request that reaches no model is a span and a row too."""
        with span(
            exchange.operation,
            traceparent=exchange.traceparent,
            kind=SpanKind.SERVER,
            operation=exchange.operation,
            provider=PROVIDER,
            model=exchange.model,
            response_id=exchange.request_id,
            status_code=error.status,
        ):
            count("ropewalk.request.refused", status_code=error.status)
            exchange.trace_id = current_traceparent()[3:35]
            self._sink.put(exchange.row(error.status, str(error)))

    async def _checked(self, request: Request, exchange: Exchange) -> Answer:
        body = await self._bodies.read(request)
        if isinstance(body, dict) and (named := body.get("model")) is not None:
            exchange.model = one_line(named if isinstance(named, str) else quoted(named), _MAX_MODEL)
        asked = parse(ChatRequest, body) if exchange.route == "chat" else parse(CompletionRequest, body)
        exchange.stream = asked.stream
        exchange.version = version = self._resolve(asked.model, f"{exchange.key_id}/{asked.user}")
        if isinstance(asked, CompletionRequest):
            generation = asked.to_generation()
        else:
            chat = await self._rendered(asked, version)
            generation = replace(asked.to_generation(chat.text), marks=chat.marks, spelled=chat.spelled)
        exchange.prompt = generation.prompt
        frames = Frames(
            exchange=exchange,
            model=asked.model,
            fingerprint=f"{version.name}/{version.checkpoint_id}",
            with_token_ids=asked.return_token_ids,
            with_usage=asked.stream_options.include_usage,
        )
        return Answer(version, generation, frames, self._shared)

    async def _rendered(self, asked: ChatRequest, version: Version) -> Prompt:
        try:
            return await self._fleet.chats(version).prompt([message.as_template_value() for message in asked.messages])
        except ChatTemplateError as error:
            raise RequestError(one_line(str(error), _MAX_REASON), "messages") from None

    def _key_id(self, request: Request) -> str:
        key_id = self._keys.key_id(request.headers.get("authorization", ""))
        if key_id is None:
            message = "the API key is missing or wrong: send the header `Authorization: Bearer <key>`"
            raise ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return key_id

    def _require_ready(self) -> None:
        """Until the log was read, no model can be said not to be there. Raises ApiError."""
        if not self._fleet.ready.is_set():
            message = "the endpoint is starting and does not know its models yet: try again"
            raise ApiError(503, message, code="starting", retry_s=2)

    def _resolve(self, name: str, key: str) -> Version:
        self._require_ready()
        version = self._fleet.routes.resolve(name, key)
        if version is None and self._fleet.expected.resolve(name, key):
            raise ApiError(503, f"the model {quoted(name)} is being loaded: try again", code="loading", retry_s=1)
        if version is None:
            names = list(self._fleet.routes.names())
            known = ", ".join(names[:_MAX_NAMES]) or "none yet"
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            message = f"there is no model {quoted(name)}; models: {known}{more}"
            if waiting := self._fleet.routes.unpromoted(name):
                message = (
                    f"{quoted(name)} answers nothing yet: the promotion of {waiting[-1].name} is under way (its "
                    f"answers are certified, which takes minutes, or approved). Ask {waiting[-1].name}, or try again"
                )
            raise ApiError(404, message, code="model_not_found", param="model")
        return version


def _card(name: str, version: Version) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": version.created,
        "owned_by": "ropewalk",
        "version": version.number,
        "checkpoint_id": version.checkpoint_id,
        "run_id": version.run_id,
    }
