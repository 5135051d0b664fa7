"""What happens in the process of a template: one task after the other, each within bounds.

The kernel keeps the bounds: a task that needs more than CPU_S ends the process (SIGPROF), and no task gets more than
MAX_MEMORY. So a template may loop, multiply or recurse as it likes.
"""

import resource
import signal
from typing import Any

from ropewalk.model.chat.answers import AnswerFinder
from ropewalk.model.chat.environment import ChatTemplate
from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.folder import ChatFolder
from ropewalk.model.chat.marks import MarkFinder
from ropewalk.model.chat.task import MAX_MEMORY, Kind, Prompt


def bound() -> None:
    """Take the limits that hold for the whole life of this process."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


class Room:
    """One template and its tokens. Raises ChatTemplateError when it does not compile."""

    def __init__(self, folder: ChatFolder) -> None:
        if not folder.template:
            raise ChatTemplateError("this model has no chat template: use /v1/completions")
        template = ChatTemplate(folder.template, folder.variables)
        self._marks = MarkFinder(template, folder.special, folder.ordinary)
        self._answers = AnswerFinder(template, self._marks)

    def work(self, kind: Kind, messages: list[dict[str, Any]]) -> Prompt:
        """Render. Raises ChatTemplateError."""
        marked = self._marks.find(messages, answer_follows=kind == "prompt")
        answers: tuple[tuple[int, int], ...] = ()
        if kind == "conversation":
            answers = self._answers.learnt(messages, marked)
        elif kind == "last_answer":
            span = self._answers.content(messages, len(messages) - 1, marked.rendered.text)
            if span is None:
                raise NoAnswerFoundError("the chat template does not show the last turn")
            answers = (span,)
        return Prompt(text=marked.rendered.text, marks=marked.marks, answers=answers, spelled=marked.spelled)
