"""The routes of the gateway. A request is checked here; `answer` does the rest."""

import secrets
from typing import Any, Literal

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ropewalk.runtime.telemetry import current_traceparent, span
from ropewalk.serving.adapters.chat_template import ChatTemplateError
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.answer import Answer, Order
from ropewalk.serving.adapters.gateway.errors import ApiError, api_error, on_api_error, on_http_exception
from ropewalk.serving.adapters.gateway.exchange import PROVIDER, Exchange
from ropewalk.serving.adapters.gateway.frames import Frames
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.domain.openai import ChatRequest, CompletionRequest, RequestError, parse
from ropewalk.serving.domain.routes import Version
from ropewalk.serving.ports import Inference, RequestLogSink


class Gateway:
    """What the routes share."""

    def __init__(
        self,
        fleet: Fleet,
        inference: Inference,
        keys: KeyRing,
        admission: Admission,
        sink: RequestLogSink,
        max_body_bytes: int,
    ) -> None:
        self._fleet = fleet
        self._keys = keys
        self._sink = sink
        self._backend = (inference, admission, sink)
        self._max_body_bytes = max_body_bytes

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ],
            exception_handlers={HTTPException: on_http_exception, ApiError: on_api_error},
        )

    async def _health(self, _: Request) -> Response:
        ready = self._fleet.ready.is_set()
        body = {"ready": ready, "models": list(self._fleet.routes.names())}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def _models(self, request: Request) -> Response:
        self._key_id(request)
        cards = [_card(name, version) for name, version in self._fleet.routes.names().items()]
        return JSONResponse({"object": "list", "data": cards})

    async def _model(self, request: Request) -> Response:
        self._key_id(request)
        name = request.path_params["name"]
        return JSONResponse(_card(name, self._resolve(name)))

    async def _completions(self, request: Request) -> Response:
        return await self._order(request, "completions")

    async def _chat(self, request: Request) -> Response:
        return await self._order(request, "chat")

    async def _order(self, request: Request, route: Literal["completions", "chat"]) -> Response:
        """Check a request; from here on every end of it is a row of the request log."""
        exchange = Exchange(f"cmpl-{secrets.token_hex(12)}", self._key_id(request), route)
        try:
            return await self._checked(request, exchange)
        except RequestError as reason:
            error = api_error(reason)
        except ApiError as reason:
            error = reason
        self._refuse(request, exchange, error)
        return error.response()

    def _refuse(self, request: Request, exchange: Exchange, error: ApiError) -> None:
        """A request that reaches no model is a span and a row too."""
        with span(
            exchange.operation,
            traceparent=request.headers.get("traceparent", ""),
            kind="server",
            operation=exchange.operation,
            provider=PROVIDER,
            model=exchange.model[:100],
            response_id=exchange.request_id,
            status_code=error.status,
        ):
            exchange.trace_id = current_traceparent()[3:35]
            self._sink.put(exchange.row(error.status, str(error)))

    async def _checked(self, request: Request, exchange: Exchange) -> Answer:
        body = await self._body(request)
        if isinstance(body, dict):
            exchange.model = str(body.get("model", ""))
        asked = parse(ChatRequest, body) if exchange.route == "chat" else parse(CompletionRequest, body)
        exchange.stream = asked.stream
        exchange.version = version = self._resolve(asked.model)
        if isinstance(asked, CompletionRequest):
            generation = asked.to_generation()
        else:
            generation = asked.to_generation(self._rendered(asked, version))
        exchange.prompt = generation.prompt
        frames = Frames(
            request_id=exchange.request_id,
            model=asked.model,
            fingerprint=f"{version.model}@{version.number}/{version.checkpoint_id}",
            chat=exchange.route == "chat",
            with_token_ids=asked.return_token_ids,
            with_usage=asked.include_usage,
        )
        order = Order(version, generation, request.headers.get("traceparent", ""))
        return Answer(order, frames, exchange, self._backend)

    def _rendered(self, asked: ChatRequest, version: Version) -> str:
        try:
            return self._fleet.template(version).render([message.as_template_value() for message in asked.messages])
        except ChatTemplateError as error:
            raise RequestError(str(error), "messages") from None

    def _key_id(self, request: Request) -> str:
        key_id = self._keys.key_id(request.headers.get("authorization", ""))
        if key_id is None:
            message = "the API key is missing or wrong: send the header `Authorization: Bearer <key>`"
            raise ApiError(401, message, code="invalid_api_key")
        return key_id

    def _resolve(self, name: str) -> Version:
        version = self._fleet.routes.resolve(name)
        if version is None:
            known = ", ".join(self._fleet.routes.names()) or "none yet"
            raise ApiError(404, f"there is no model {name!r}; models: {known}", code="model_not_found", param="model")
        return version

    async def _body(self, request: Request) -> Any:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > self._max_body_bytes:
                message = f"the body is larger than {self._max_body_bytes} bytes"
                raise ApiError(413, message, code="request_too_large")
        try:
            return orjson.loads(bytes(content))
        except orjson.JSONDecodeError as error:
            raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None


def _card(name: str, version: Version) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "ropewalk",
        "version": version.number,
        "checkpoint_id": version.checkpoint_id,
        "run_id": version.run_id,
    }
