"""Every error as OpenAI clients expect it, with a sentence that says what to do."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ropewalk.serving.domain.admission import FullError
from ropewalk.serving.domain.openai import RequestError
from ropewalk.serving.errors import (
    BackendError,
    ModelNotLoadedError,
    OverloadedError,
    RequestRefusedError,
    ServingError,
)


class ApiError(ServingError):
    """An answer with a status other than 200."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None, retry_s: int = 0) -> None:
        super().__init__(message)
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
        headers = {"Retry-After": str(self.retry_s)} if self.retry_s else None
        return JSONResponse(self.body(), status_code=self.status, headers=headers)


def api_error(error: BackendError | RequestError | FullError) -> ApiError:
    """Our own errors as answers."""
    match error:
        case RequestError():
            return ApiError(400, str(error), code="invalid_value", param=error.param)
        case RequestRefusedError():
            too_long = "context" in str(error)
            return ApiError(
                400,
                str(error),
                code="context_length_exceeded" if too_long else "invalid_value",
                param="prompt" if too_long else None,
            )
        case FullError() | OverloadedError():
            return ApiError(429, str(error), code="overloaded", retry_s=1)
        case ModelNotLoadedError():
            return ApiError(503, "the model is being loaded: try again", code="model_loading", retry_s=2)
        case _:
            return ApiError(503, f"the inference backend is away: {error}", code="backend_unavailable", retry_s=2)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the same format."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return ApiError(error.status_code, message, code="not_found" if error.status_code == 404 else "http").response()


async def on_api_error(_: Request, error: Exception) -> Response:
    """Errors raised before a request has a log of its own."""
    assert isinstance(error, ApiError)
    return error.response()
