"""Two answers to the same turns, of which one is better, as ours and TRL's data sets write them.

What was asked stands in `input` or `prompt` (a text, or turns) or in `messages`; without any of them both answers are
whole conversations that begin alike. An answer is a text, JSON, or turns.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from ropewalk.corpus.document import ChatMessage
from ropewalk.corpus.reading.conversations import read_turns
from ropewalk.corpus.reading.examples import INPUT, answer_text
from ropewalk.events.foreign import quoted

CHOSEN, REJECTED = "chosen", "rejected"
_ASKED = (INPUT, "messages", "prompt")
PREFERENCE_FIELDS = frozenset((CHOSEN, REJECTED, *_ASKED))


class AnswerPair(NamedTuple):
    """The turns up to the chosen answer, the last one and the only one that is learnt, and the rejected one."""

    turns: tuple[ChatMessage, ...]
    rejected: str


def read_preference(record: dict[str, Any], system: str = "") -> AnswerPair | str:
    """The two answers of a record, behind a turn of the system if there is a text for it and they have none of their
    own; or what is wrong with the record."""
    chosen, rejected = (_conversation(record, field) for field in (CHOSEN, REJECTED))
    if isinstance(chosen, str) or isinstance(rejected, str):
        return chosen if isinstance(chosen, str) else str(rejected)
    before, answer, other = chosen[:-1], chosen[-1], rejected[-1]
    if before != rejected[:-1]:
        return f"the turns before the last one differ between {CHOSEN!r} and {REJECTED!r}: only the last answer may"
    if answer.role != "assistant" or other.role != "assistant":
        return f"the last turn of {CHOSEN!r} or {REJECTED!r} is not the assistant's, so there is no answer to compare"
    if all(turn.role != "user" for turn in before):
        return f"nothing is asked before the two answers: give {INPUT!r}, 'messages' or 'prompt'"
    if answer.content == other.content:
        return f"{CHOSEN!r} and {REJECTED!r} are equal, so neither is preferred"
    if system and before[0].role != "system":
        before = (ChatMessage(role="system", content=system), *before)
    read = (replace(turn, weight=0) if turn.role == "assistant" else turn for turn in before)
    return AnswerPair((*read, replace(answer, weight=1)), other.content)


def _conversation(record: dict[str, Any], field: str) -> tuple[ChatMessage, ...] | str:
    """What was asked with one of the two answers; or what is wrong with it."""
    answer = record.get(field)
    asked: Any = next((record[name] for name in _ASKED if record.get(name)), [])
    if not isinstance(asked, str | list):
        return f"what was asked is neither a text nor turns but {quoted(asked)}"
    before = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    try:
        turns: Any = answer if _are_turns(answer) else [{"role": "assistant", "content": answer_text(answer)}]
    except ValueError as fault:
        return f"the answer {field!r} {fault}"
    if turns[0]["role"] != "assistant" == turns[-1]["role"]:
        before = []  # a whole conversation, which `prompt` or `messages` beside it only repeats
    found = read_turns({**record, "messages": [*before, *turns]})
    return f"with the answer {field!r}: {found}" if isinstance(found, str) else found


def _are_turns(answer: object) -> bool:
    """And not a list that is itself the answer."""
    return (
        isinstance(answer, list) and bool(answer) and all(isinstance(each, dict) and "role" in each for each in answer)
    )
