"""What can go wrong in serving.

ServingError
├── BackendError             the inference backend could not do what was asked
│   ├── ModelNotLoadedError  it does not know the model (any more)
│   ├── LoadFailedError      it refused to load the model; the text has its reason
│   ├── RequestRefusedError  the request can never succeed as it is (prompt too long, bad parameter)
│   ├── RequestFailedError   something went wrong with this request alone; the model serves on
│   ├── OverloadedError      it has too much to do, try again
│   └── BackendGoneError     it is away, hung or broken
└── ApiError                 an answer to an OpenAI client (`adapters/gateway/errors`)
"""

from ropewalk.errors import RopewalkError


class ServingError(RopewalkError):
    """The family of errors of this service."""


class BackendError(ServingError):
    """The inference backend could not do what was asked."""


class ModelNotLoadedError(BackendError):
    """The backend does not know the model."""


class LoadFailedError(BackendError):
    """The backend refused to load a model; what served before still serves."""


class RequestRefusedError(BackendError):
    """The request can never succeed as it is."""


class RequestFailedError(BackendError):
    """Something went wrong with this request alone; the model serves on."""


class OverloadedError(BackendError):
    """The backend has too much to do."""


class BackendGoneError(BackendError):
    """The backend is away, hung or broken."""
