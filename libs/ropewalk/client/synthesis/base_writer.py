"""The base model of the task as the writer, in the engine that serves. Needs torch: for a child process."""

import threading
import time
from pathlib import Path

from ropewalk.client.synthesis.writers import Turns, WriterError
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.errors import ModelError
from ropewalk.stages.errors import StageError


class BaseWriter:
    """Writes until a second of the monotonic clock. Raises StageError for a model that the engine cannot run."""

    def __init__(self, folder: Path, name: str, until: float) -> None:
        self.name, self._until = name, until
        try:
            self._engine, self._chats = Engine(folder), ChatRenderer(folder)
        except (ModelError, OSError) as error:
            raise StageError(f"the base model cannot write here: {error}; name an endpoint with --from") from None
        self._engine.start()

    def close(self) -> None:
        """End the engine: its threads must not outlive the process's own end."""
        self._engine.stop()

    def say(self, turns: Turns, max_tokens: int, temperature: float) -> str:
        """See Writer."""
        said, ended, ending = [], threading.Event(), [""]

        def on_update(update: Update) -> None:
            said.append(update.text)
            if update.finish_reason:
                ending[0] = update.finish_reason
                ended.set()

        try:
            prompt = self._chats.prompt([dict(turn) for turn in turns])
            ids = self._engine.encode(prompt.text, prompt.marks)
            number = self._engine.submit(ids, Sampling(max_tokens=max_tokens, temperature=temperature), on_update)
        except ChatTemplateError as error:
            raise StageError(f"the base model's chat template refuses the task: {error}") from None
        except ModelError as error:
            raise WriterError(str(error)) from None
        if not ended.wait(self._until - time.monotonic()):
            self._engine.cancel(number)
            raise WriterError("the answer was not there in time")
        return "".join(said) if ending[0] == "stop" else ""
