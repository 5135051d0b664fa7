"""The chats of one model version, rendered off the event loop and in a process of their own, one after the other."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.chat.task import Prompt


class Chats:
    """A model whose template needs seconds makes its own callers wait, and nobody else."""

    def __init__(self, folder: Path) -> None:
        self._renderer = ChatRenderer(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chats")

    async def prompt(self, messages: Sequence[dict[str, Any]]) -> Prompt:
        """What comes before the next answer. Raises ChatTemplateError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._renderer.prompt, messages)

    def close(self) -> None:
        """Forget who waits and end the process. May take as long as one chat."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._renderer.close()
