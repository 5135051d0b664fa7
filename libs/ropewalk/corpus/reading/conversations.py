"""The turns of a conversation as OpenAI's clients, and the data sets made for them, write them.

What can be learnt from as it stands is read: `developer` is the newer word for `system`, a list of text parts is one
text, `weight: 0` is an answer to be read but not learnt. What would be lost without a word, such as calls of tools
and pictures, sets the conversation aside with the reason.
"""

from typing import Any

from ropewalk.corpus.document import ChatMessage
from ropewalk.events.foreign import quoted

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_CALLS = ("tool_calls", "function_call")  # of a turn
_OFFERS = ("tools", "functions")  # of a record


def read_turns(record: dict[str, Any]) -> tuple[ChatMessage, ...] | str:
    """The turns in the field `messages`, a list; or what is wrong with them, for the person who mends it."""
    offer = next((field for field in _OFFERS if record.get(field)), None)
    if offer:
        return f"the record offers {offer!r}, and the use of tools cannot be learnt here yet"
    messages = []
    for place, turn in enumerate(record["messages"]):
        message = _message(turn)
        if isinstance(message, str):
            return f"turn {place} {message}"
        messages.append(message)
    answers = [message for message in messages if message.role == "assistant"]
    if not answers:
        return "no turn of the assistant, so there is nothing to learn"
    if not any(answer.weight for answer in answers):
        return "every turn of the assistant has the weight 0, so there is nothing to learn"
    return tuple(messages)


def _message(turn: Any) -> ChatMessage | str:
    if not isinstance(turn, dict):
        return f"is no object with role and content but {quoted(turn)}"
    call = next((field for field in _CALLS if turn.get(field)), None)
    if call or turn.get("role") in ("tool", "function"):
        return f"{f'has {call}' if call else 'answers a tool'}, and the use of tools cannot be learnt here yet"
    role = _ROLES.get(turn["role"]) if isinstance(turn.get("role"), str) else None
    if role is None:
        return f"needs a role of {'/'.join(_ROLES)}, and has {quoted(turn.get('role'))}"
    name, weight = turn.get("name"), turn.get("weight")
    if not (name is None or isinstance(name, str)) or "\0" in (name or ""):
        return f"has the name {quoted(name)}: give a text or leave it out"
    if not (weight is None or (weight in (0, 1) and isinstance(weight, int | float))):
        return f"has the weight {quoted(weight)}: give 0, not learnt, or 1, learnt"
    text = _text(turn.get("content"))
    if isinstance(text, _Fault):
        return text
    return ChatMessage(role=role, content=text, name=name or "", weight=1 if weight is None else int(weight))


class _Fault(str):
    """What is wrong with a content."""

    __slots__ = ()


def _text(content: Any) -> str:
    """A text, or the texts of the parts one after the other; a `_Fault` where there is none."""
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                kind = part.get("type") if isinstance(part, dict) else part
                return _Fault(f"has a part of the kind {quoted(kind)}: only text parts can be learnt")
        content = "".join(part["text"] for part in content)
    if content is None:
        return _Fault("has no content (null), so there is nothing to read or to learn")
    if not isinstance(content, str):
        return _Fault(f"needs a text as content, and has {quoted(content)}")
    if not content.strip():
        return _Fault("has an empty content, so there is nothing to read or to learn")
    return _Fault("has a NUL character in its content") if "\0" in content else content
