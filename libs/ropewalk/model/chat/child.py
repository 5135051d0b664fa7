"""The process of a template: `python -m ropewalk.model.chat.child`. Reads tasks, writes results, ends with its input.

The first message is the folder, every other one a task.
"""

import signal
import sys
from dataclasses import asdict
from typing import Any

from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.folder import ChatFolder
from ropewalk.model.chat.room import Room, bound
from ropewalk.model.chat.task import CPU_S, read_message, write_message


def main() -> None:
    """Serve until the input ends."""
    bound()
    tasks, results = sys.stdin.buffer, sys.stdout.buffer
    room: Room | None = None
    while (message := read_message(tasks)) is not None:
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            if room is None:
                room = Room(ChatFolder(**message))
                result: Any = {}
            else:
                result = asdict(room.work(message["kind"], message["messages"]))
        except ChatTemplateError as error:
            result = {"error": str(error), "no_answer": isinstance(error, NoAnswerFoundError)}
        except (MemoryError, RecursionError) as error:
            result = {"error": f"the chat template needs too much memory ({type(error).__name__})"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_message(results, result)


if __name__ == "__main__":
    main()
