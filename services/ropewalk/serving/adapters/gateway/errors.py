"""Every error as OpenAI clients expect it, with a sentence that says what to do."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ropewalk.events.foreign import one_line
from ropewalk.serving.adapters.triton_backend.contract import SCHEMA
from ropewalk.serving.domain.admission import FullError
from ropewalk.serving.domain.neutral import RequestError
from ropewalk.serving.domain.structured import SCHEMA_FIELD
from ropewalk.serving.errors import (
    BackendError,
    ModelNotLoadedError,
    OverloadedError,
    RequestFailedError,
    RequestRefusedError,
    ServingError,
)

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ApiError(ServingError):
    """An answer with a status other than 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_s: int = 0,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers)
        self.status = status
        self.code = code
        self.param = param
        self.retry_s = retry_s

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The HTTP answer."""
        headers = {"Retry-After": str(self.retry_s)} if self.retry_s else {}
        return JSONResponse(self.body(), status_code=self.status, headers=headers | self.headers)


CLIENT_GONE = 499  # nginx's number for it; OpenAI has none


def api_error(error: Exception) -> ApiError:
    """An error as an answer. What we have no words for is our own fault, and ends this request only."""
    match error:
        case ApiError():
            return error
        case ClientDisconnect():
            return ApiError(CLIENT_GONE, "the client went away", code="client_gone")
        case RequestError():
            return ApiError(400, str(error), code="invalid_value", param=error.param)
        case RequestRefusedError():
            return _refused(str(error))
        case FullError() | OverloadedError():
            return ApiError(429, str(error), code="overloaded", retry_s=1)
        case RequestFailedError():
            return ApiError(500, f"the model could not answer this request: {error}", code="generation_failed")
        case ModelNotLoadedError():
            return ApiError(503, "the model is being loaded: try again", code="model_loading", retry_s=2)
        case BackendError():
            message = f"the inference backend is away: {one_line(str(error), 500)}"
            return ApiError(503, message, code="backend_unavailable", retry_s=2)
        case _:
            return ApiError(500, "an error of the endpoint: its log tells more under the id", code="internal_error")


def _refused(reason: str) -> ApiError:
    if reason.startswith(SCHEMA):
        return ApiError(400, SCHEMA_FIELD + reason.removeprefix(SCHEMA), code="invalid_value", param=SCHEMA_FIELD)
    if "context" in reason:  # the prompt is too long
        return ApiError(400, reason, code="context_length_exceeded", param="prompt")
    return ApiError(400, reason, code="invalid_value")


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the same format."""
    assert isinstance(error, HTTPException)
    message = f"{one_line(f'{request.method} {request.url.path}')}: {error.detail}"
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "http")
    return ApiError(error.status_code, message, code=code, headers=error.headers or {}).response()


async def on_api_error(_: Request, error: Exception) -> Response:
    """Errors raised before a request has a log of its own."""
    assert isinstance(error, ApiError)
    return error.response()
