"""Renders the chats of one tokenizer folder, each template in a process of its own."""

import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.folder import ChatFolder, read_chat_folder
from ropewalk.model.chat.task import CPU_S, Kind, Messages, Prompt, read_message, write_message

_PATIENCE_S = 60.0  # by the clock, for a process that is stopped or starved; it has CPU_S to compute


class ChatRenderer:
    """The template of a folder. Takes calls from any thread, one at a time; its process starts with the first.

    What is wrong with the folder is an error only when a chat is asked for.
    """

    def __init__(self, folder: Path | ChatFolder) -> None:
        self._folder: ChatFolder | ChatTemplateError
        try:
            self._folder = folder if isinstance(folder, ChatFolder) else read_chat_folder(folder)
        except ChatTemplateError as error:
            self._folder = error
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[Any, ChatRenderer] | None = None

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Texts that are special tokens of this tokenizer."""
        return () if isinstance(self._folder, ChatTemplateError) else self._folder.special

    def prompt(self, messages: Messages) -> Prompt:
        """What comes before the next answer. Raises ChatTemplateError."""
        return self._work("prompt", messages)

    def conversation(self, messages: Messages) -> Prompt:
        """The whole, with the answers that count in training. Raises NoAnswerFoundError, ChatTemplateError."""
        return self._work("conversation", messages)

    def last_answer(self, messages: Messages) -> Prompt:
        """The whole, with the content of the last turn alone. Raises NoAnswerFoundError, ChatTemplateError."""
        return self._work("last_answer", messages)

    def start(self) -> None:
        """Compile the template. Raises ChatTemplateError."""
        with self._lock:
            self._started()

    def close(self) -> None:
        """End the process; a later call starts another."""
        with self._lock:
            self._stop()

    def _work(self, kind: Kind, messages: Messages) -> Prompt:
        with self._lock:
            result = self._ask(self._started(), {"kind": kind, "messages": list(messages)})
        return Prompt(
            text=result["text"],
            marks=tuple((begin, end) for begin, end in result["marks"]),
            answers=tuple((begin, end) for begin, end in result["answers"]),
            spelled=tuple(result["spelled"]),
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if isinstance(self._folder, ChatTemplateError):
            raise self._folder
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "ropewalk.model.chat.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},  # no secret of ours is a stranger's business
            )
            self._end = weakref.finalize(self, _stop, self._process)
            try:
                self._ask(self._process, asdict(self._folder))
            except ChatTemplateError:
                self._stop()
                raise
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], message: Any) -> Any:
        """Raises ChatTemplateError for the child's errors and for its end."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            write_message(process.stdin, message)
            ready, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
            result = read_message(process.stdout) if ready else None
        except BrokenPipeError:
            result = None
        if result is None:
            raise ChatTemplateError(self._why(process))
        if "error" in result:
            raise (NoAnswerFoundError if result.get("no_answer") else ChatTemplateError)(result["error"])
        return result

    def _why(self, process: subprocess.Popen[bytes]) -> str:
        """End a process that gave no answer, and say why it gave none."""
        try:
            code: int | None = process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        self._stop()
        if code == -signal.SIGPROF:
            return f"the chat template needs more than {CPU_S:g} s of processor for these messages"
        if code is None:
            return f"the process of the chat template gave no answer within {_PATIENCE_S:g} s"
        return f"the process of the chat template ended with code {code} over these messages"

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None


def check_template(template: str) -> None:
    """Raises ChatTemplateError for a template that does not compile."""
    renderer = ChatRenderer(ChatFolder(template=template, variables={}, special=(), ordinary=()))
    try:
        renderer.start()
    finally:
        renderer.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                continue
    process.wait()
