"""An input with the output that is wanted for it, as a conversation: what the user says and what is answered."""

import json
from typing import Any

from ropewalk.corpus.document import ChatMessage
from ropewalk.corpus.reading.conversations import is_blank
from ropewalk.events.foreign import one_line

INPUT, OUTPUT = "input", "output"


def input_turns(record: dict[str, Any], system: str = "") -> tuple[ChatMessage, ...] | str:
    """The input of a record, behind a turn of the system if there is a text for it; or what is wrong with the record.

    Fields beside it are left out, as notes.
    """
    asked = record.get(INPUT)
    if not isinstance(asked, str):
        # what is there instead is not repeated: it may be personal
        return (
            f"no text in the field {INPUT!r}" if asked is None else f"the input is no text but {type(asked).__name__}"
        )
    if is_blank(asked):
        return "the input is empty"
    if "\0" in asked:
        return "there is a NUL character in it"
    turn = ChatMessage(role="user", content=asked)
    return (ChatMessage(role="system", content=system), turn) if system else (turn,)


def example_turns(record: dict[str, Any], system: str = "") -> tuple[ChatMessage, ...] | str:
    """The same with the output as the last turn."""
    asked = input_turns(record, system)
    if isinstance(asked, str):
        return asked
    try:
        answer = answer_text(record.get(OUTPUT))
    except ValueError as fault:
        return f"the output {fault}"
    if is_blank(answer):
        return f"no answer in the field {OUTPUT!r}, so there is nothing to learn: give an object, a list or a text"
    if "\0" in answer:
        return "there is a NUL character in it"
    return (*asked, ChatMessage(role="assistant", content=answer))


def answer_text(output: object) -> str:
    """What the model learns to say: a text as it is, JSON compactly and in the order of its keys; empty: no answer.

    Raises ValueError for what no JSON can say.
    """
    if isinstance(output, str):
        return output
    if isinstance(output, dict | list):
        try:
            return json.dumps(output, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except RecursionError:  # a little less deep than what cannot be read at all
            raise ValueError("is nested too deeply") from None
        except (TypeError, ValueError) as error:  # a date or bytes out of a table, NaN
            raise ValueError(f"holds what JSON cannot say ({one_line(str(error))})") from None
    return ""
