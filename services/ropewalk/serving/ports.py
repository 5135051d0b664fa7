"""What serving needs from outside."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ropewalk.events.serving import RequestLog
from ropewalk.serving.domain.generation import Generation, Piece

Repaired = Callable[[str, str, float], Awaitable[None]]  # a target that answers again, what was wrong, seconds it took


@dataclass(frozen=True, kw_only=True)
class ModelToLoad:
    """A model version to load. `target` is its name in the backend, `weights` a Hugging Face folder.

    `base`: the model to which the adapter in `weights` is added, for a backend that can; `weights` alone is whole, too.

    `address` says where the version answers, for a kind of backend that has more than one place.
    """

    target: str
    weights: Path
    lineage: dict[str, str]
    address: str = ""
    base: Path | None = None


class Inference(AbstractAsyncContextManager["Inference"], Protocol):
    """A kind of inference backend; a process has one instance of each, open for as long as requests may come.

    It opens while its backend is still away. Every method raises BackendGoneError when the backend is away.
    """

    def generate(self, target: str, generation: Generation) -> AsyncGenerator[Piece, None]:
        """Pieces as they come. Closing the generator cancels the work.

        Raises ModelNotLoadedError, RequestRefusedError, OverloadedError.
        """
        ...

    async def load(self, entry: ModelToLoad) -> None:
        """Make a model version answer. Raises LoadFailedError."""
        ...

    async def unload(self, target: str) -> None:
        """Forget a model version once its requests have ended; nothing happens if it is not loaded."""
        ...

    async def loaded(self) -> frozenset[str]:
        """The targets that can answer."""
        ...


class RequestLogSink(Protocol):
    """Takes the log of a request without ever waiting."""

    def put(self, row: RequestLog) -> None:
        """Accept one row."""
        ...
