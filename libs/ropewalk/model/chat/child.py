"""The process of a template: `python -m ropewalk.model.chat.child`. Reads tasks, writes results, ends with its input.

A message is eight bytes of length and JSON, both ways. The first one is the folder, every other one a task.
"""

import json
import signal
import sys
from dataclasses import asdict
from typing import IO, Any

from ropewalk.model.chat.errors import ChatTemplateError, NoAnswerFoundError
from ropewalk.model.chat.folder import ChatFolder
from ropewalk.model.chat.room import CPU_S, Room, bound


def read_message(stream: IO[bytes]) -> Any:
    """The next message; None at the end."""
    header = stream.read(8)
    return json.loads(stream.read(int.from_bytes(header, "big"))) if len(header) == 8 else None


def write_message(stream: IO[bytes], message: Any) -> None:
    """Send a message."""
    content = json.dumps(message).encode()
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()


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
