"""The turns of a conversation as OpenAI's clients, and the data sets made for them, write them.

What can be learnt from as it stands is read: `developer` is the newer word for `system`, a list of text parts is one
text, `weight: 0`, `train: false` and `loss: false` are answers to be read but not learnt, a `system` text beside the
turns is the first of them. What would be lost without a word, such as calls of tools, pictures, thoughts and any field
that is not known here, sets the conversation aside with the reason.
"""

import unicodedata
from typing import Any

from ropewalk.corpus.document import ChatMessage
from ropewalk.events.foreign import quoted

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_CALLS = ("tool_calls", "function_call")  # of a turn
_OFFERS = ("tools", "functions")  # of a record
_SYSTEM = ("system", "system_prompt")  # of a record
_BESIDE = ("images", "image", "videos", "audios", "audio", "documents")  # of a record, and shown to the model
RECORD_FIELDS = frozenset(("messages", *_OFFERS, *_SYSTEM, *_BESIDE))  # of a record: all that is looked at here
_LEARNT = ("weight", "train", "loss")  # of a turn: whether it is learnt
_DESCRIBING = (
    "id uuid index source metadata meta model timestamp created created_at updated_at create_time date time "
    "lang language parent_id message_id conversation_id num_tokens token_count tokens score end_turn cache_control"
)
_KNOWN = frozenset(("role", "content", "name", *_CALLS, *_LEARNT, *_DESCRIBING.split()))
_FALSE_IS_NOTHING = ("prefix", "partial")  # asks that the answer be continued
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffe\uffff")  # letters and symbols without ink


def read_turns(record: dict[str, Any]) -> tuple[ChatMessage, ...] | str:
    """The turns in the field `messages`, a list; or what is wrong with them, for the person who mends it."""
    offer = next((field for field in _OFFERS if record.get(field)), None)
    if offer:
        return f"the record offers {offer!r}, and the use of tools cannot be learnt here yet"
    beside = next((field for field in _BESIDE if record.get(field)), None)
    if beside:
        return f"the record has {beside!r} beside its turns, and only texts within them can be learnt"
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
    return _with_system(record, tuple(messages))


def is_blank(text: str) -> bool:
    """Whether there is nothing in it that anybody can see."""
    return not text.strip() or all(
        character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs")
        for character in text
    )


def _with_system(record: dict[str, Any], messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...] | str:
    """The turns behind what the record says to the system in a field of its own, if it does."""
    for field in _SYSTEM:
        if record.get(field) in (None, "", []):
            continue
        text = _text(record[field])
        if isinstance(text, _Fault):
            return f"the field {field!r} {text}"
        if messages[0].role != "system":
            messages = (ChatMessage(role="system", content=text), *messages)
        elif messages[0].content != text:
            return f"the field {field!r} says something else than the first turn of the system: leave one of them out"
    return messages


def _message(turn: Any) -> ChatMessage | str:
    if not isinstance(turn, dict):
        return f"is no object with role and content but {quoted(turn)}"
    call = next((field for field in _CALLS if turn.get(field)), None)
    if call or turn.get("role") in ("tool", "function"):
        return f"{f'has {call}' if call else 'answers a tool'}, and the use of tools cannot be learnt here yet"
    role = _ROLES.get(turn["role"]) if isinstance(turn.get("role"), str) else None
    if role is None:
        return f"needs a role of {'/'.join(_ROLES)}, and has {quoted(turn.get('role'))}"
    unknown = next((field for field in turn if field not in _KNOWN and _says_something(field, turn[field])), None)
    if unknown is not None:
        return f"has the field {quoted(unknown)}, which cannot be learnt here: take it out, or leave the record out"
    name, weight = turn.get("name"), _weight(turn)
    if not (name is None or isinstance(name, str)) or "\0" in (name or ""):
        return f"has the name {quoted(name)}: give a text or leave it out"
    if isinstance(weight, str):
        return weight
    text = _text(turn.get("content"))
    if isinstance(text, _Fault):
        return text
    return ChatMessage(role=role, content=text, name=name or "", weight=weight)


def _says_something(field: str, value: object) -> bool:
    return value not in (None, "", [], {}) and not (value is False and field in _FALSE_IS_NOTHING)


def _weight(turn: dict[str, Any]) -> int | str:
    """0 where one of the fields says so, else 1; or what is wrong with one of them."""
    values = {field: turn[field] for field in _LEARNT if turn.get(field) is not None}
    for field, value in values.items():
        if not (isinstance(value, int | float) and value in (0, 1)):
            return f"has the {field} {quoted(value)}: give 0, not learnt, or 1, learnt"
    return int(min(values.values(), default=1))


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
    if is_blank(content):
        return _Fault("has an empty content, so there is nothing to read or to learn")
    return _Fault("has a NUL character in its content") if "\0" in content else content
