"""A kind of backend without Triton: it repeats the prompt, a character a token.

It passes the same contract suite as the real one.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import BackendGoneError, LoadFailedError, ModelNotLoadedError, RequestRefusedError
from ropewalk.serving.ports import ModelToLoad, Repaired
from ropewalk.serving.settings import Settings

_BEGINNING = "\n"  # what an empty prompt stands for: where a document begins


class MemoryInference:
    """`context_length` in characters; `pace_s` is the time a token takes."""

    def __init__(self, context_length: int = 128, pace_s: float = 0.0) -> None:
        self.context_length = context_length
        self.pace_s = pace_s
        self.is_away = False
        self.num_running = 0
        self.num_pieces = 0
        self.num_loads = 0
        self._entries: dict[str, ModelToLoad] = {}

    @classmethod
    def of(cls, _settings: Settings, _on_repaired: Repaired) -> Self:
        """See KINDS in `backends`: there is nothing to set, and nothing that would be repaired."""
        return cls()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def generate(self, target: str, generation: Generation) -> AsyncGenerator[Piece, None]:
        """See Inference.generate."""
        self._check_here()
        if target not in self._entries:
            raise ModelNotLoadedError(f"unknown model {target}")
        prompt = "".join(chr(token) for token in generation.prompt_token_ids or ()) or generation.prompt or _BEGINNING
        if not 0 < len(prompt) < self.context_length:
            raise RequestRefusedError(
                f"the prompt has {len(prompt)} tokens, but this model's context is {self.context_length} tokens"
            )
        limit = min(generation.max_tokens, self.context_length - len(prompt))
        self.num_running += 1
        try:
            for index in range(limit):
                await asyncio.sleep(self.pace_s)
                self._check_here()
                character = prompt[index % len(prompt)]
                self.num_pieces += 1
                yield Piece(
                    text=character,
                    token_ids=(ord(character),),
                    finish_reason="length" if index + 1 == limit else "",
                    num_input_tokens=len(prompt),
                    num_output_tokens=1,
                    logprob_mean=-1.0,
                )
        finally:
            self.num_running -= 1

    async def load(self, entry: ModelToLoad) -> None:
        """See Inference.load."""
        self.num_loads += 1
        self._check_here()
        if not (entry.weights / "config.json").is_file():
            raise LoadFailedError(f"{entry.weights} has no config.json")
        self._entries[entry.target] = entry

    async def unload(self, target: str) -> None:
        """See Inference.unload."""
        self._check_here()
        self._entries.pop(target, None)

    async def loaded(self) -> frozenset[str]:
        """See Inference.loaded."""
        self._check_here()
        return frozenset(self._entries)

    def _check_here(self) -> None:
        if self.is_away:
            raise BackendGoneError("the backend is away")


async def reconciled(fleet: Fleet) -> None:
    """Look once at what is missing, and wait until it is there or was tried."""
    async with asyncio.TaskGroup() as tasks:
        await fleet.reconcile(tasks)
