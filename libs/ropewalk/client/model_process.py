"""Work on a model's files in a silent process of its own: what loads torch, takes gigabytes and may be refused."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ropewalk.client.errors import ClientError
from ropewalk.model.errors import ModelError
from ropewalk.stages.child import run_child
from ropewalk.stages.errors import StageError

W = TypeVar("W")
R = TypeVar("R")
_Say = Callable[[str], None]


async def in_own_process(function: Callable[[W, _Say], R], work: W, say: _Say, failed: str) -> R:
    """What `function(work, say)` returns. Raises ClientError: `failed`, and the reason of a refusal or of its end."""

    async def tell(words: object) -> None:
        say(str(words))

    try:
        found = await run_child(_silently, (function, work), tell)
    except StageError as error:
        raise ClientError(f"{failed}: {error}") from None
    if isinstance(found, ModelError):
        raise ClientError(f"{failed}: {found}")
    return found


def _silently(job: tuple[Callable[[W, _Say], R], W], say: _Say) -> R | ModelError:
    """The child's: its command shows the progress."""
    logging.disable(logging.WARNING)
    function, work = job
    try:
        return function(work, say)
    except ModelError as error:
        return ModelError(str(error))
