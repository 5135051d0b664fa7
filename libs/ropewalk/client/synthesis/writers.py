"""Who writes variants: an OpenAI-compatible endpoint."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import one_line
from ropewalk.stages.errors import StageError
from ropewalk.usecases.endpoint import ChatEndpoint, Endpoint, EndpointError, NoAnswerError, text_of

Turns = Sequence[Mapping[str, str]]


class WriterError(ClientError):
    """This request came to nothing, another may; never leaves the room."""


class Writer(Protocol):
    """Says something to a conversation. For any thread."""

    @property
    def name(self) -> str:
        """For the mark of what it wrote."""

    def say(self, turns: Turns, max_tokens: int, temperature: float) -> str:
        """Empty if it came to no end. Raises WriterError, or StageError where no later request can succeed."""

    def close(self) -> None:
        """Let go of what it holds; whoever is being answered gets nothing any more."""


class EndpointWriter:
    """Asks until a second of the monotonic clock."""

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self.name = one_line(f"{endpoint.model} at {endpoint.host}")
        self._endpoint = ChatEndpoint(endpoint, until)

    def close(self) -> None:
        """Nothing: requests under way end with the process."""

    def say(self, turns: Turns, max_tokens: int, temperature: float) -> str:
        """See Writer."""
        body = {"messages": list(turns), "max_tokens": max_tokens, "temperature": temperature}
        try:
            text, ended = text_of(self._endpoint.complete(body))
        except NoAnswerError as error:
            raise WriterError(str(error)) from None
        except EndpointError as error:
            raise StageError(str(error)) from None
        return text if ended else ""
