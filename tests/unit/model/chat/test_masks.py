"""500 conversations by chance through the templates of ten families: what counts is what must be learnt.

Nothing of how the product finds answers is used: every turn holds a character of its own, so that decoded tokens show
whose they are, and how a family shows an answer is written down here.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ropewalk.corpus.reading.conversations import read_turns
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.conversation import ConversationEncoder

_OWN = 0xE100  # private use: the first turn's character
_PIECES = [
    "hi", " ", "  ", "\n", "\n\n", "\t", "3 + 4 = 7", "def f(a):\n    return a\n", "Grüße", "你好", "🎉", "e\u0301",
    "<b>", "[1]", "{{ x }}", "{% if %}", "\u2400\u2401", "USER:", " ASSISTANT: ", "[INST]", "[/INST]", "<<SYS>>",
    "<|user|>", "<|assistant|>\n", "assistant\n", "model\n", "<think>", '{"a": [1, null]}', "same", "same", "user",
    "\\n", "|>", "</",
]  # fmt: skip
_STARTS = [("user",), ("user",), ("user",), ("system", "user"), ("assistant",), ("user", "user"), ("user", "system")]
_NOT_LEARNT: list[dict[str, Any]] = [{"weight": 0}, {"train": False}, {"loss": False}]
_LEARNT: list[dict[str, Any]] = [{}, {}, {}, {"weight": 1}, {"train": True}, {"loss": True}]


def _as_said(end: str) -> Callable[[str, bool], str]:
    return lambda content, _: content + end


def _trimmed(end: str) -> Callable[[str, bool], str]:
    return lambda content, _: content.strip() + end


def _qwen(content: str, is_last: bool) -> str:
    return (f"<think>\n\n</think>\n\n{content.lstrip(chr(10))}" if is_last else content) + "<|im_end|>"


SHOWN: dict[str, Callable[[str, bool], str]] = {
    "chatml": _as_said("<|im_end|>"),
    "llama2": _trimmed(" </s>"),
    "llama3": _trimmed("<|eot_id|>"),
    "mistral": _trimmed("</s>"),
    "gemma": _trimmed("<end_of_turn>"),
    "phi3": _as_said("<|end|>"),
    "zephyr": _as_said("</s>"),
    "qwen3": _qwen,
    "smollm2": _as_said("<|im_end|>"),
    "vicuna": _trimmed("</s>"),
}
_BYTES = {"chatml", "llama3", "qwen3", "smollm2"}  # tokenizers whose decoded tokens are the text to the last space


def conversation(random: Random) -> list[dict[str, Any]]:
    """Records as a file of conversations has them; sometimes one that a template refuses."""
    roles = list(random.choice(_STARTS))
    roles += ["user"] if roles[-1] == "system" else []
    while len(roles) < random.randint(2, 9) or "assistant" not in roles:
        roles.append("user" if roles[-1] == "assistant" and random.random() < 0.95 else "assistant")
    return [_turn(role, chr(_OWN + place), random) for place, role in enumerate(roles)]


def _turn(role: str, own: str, random: Random) -> dict[str, Any]:
    pieces = random.choices(_PIECES, k=random.randint(0, 6))
    for _ in range(random.randint(1, 3)):
        pieces.insert(random.randint(0, len(pieces)), own)
    given = random.choice(_LEARNT if random.random() < 0.7 else _NOT_LEARNT) if role == "assistant" else {}
    return {"role": role, "content": "".join(pieces)} | given


def is_learnt(turn: dict[str, Any]) -> bool:
    return turn["role"] == "assistant" and not any(turn.items() >= other.items() for other in _NOT_LEARNT)


def runs(ids: list[int], mask: list[int], wanted: int) -> list[list[int]]:
    """The stretches of tokens with this mask."""
    found: list[list[int]] = []
    for place, number in enumerate(ids):
        if mask[place] == wanted:
            if place == 0 or mask[place - 1] != wanted:
                found.append([])
            found[-1].append(number)
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_of_random_conversations_exactly_the_answers_to_learn_count(name: str, folders: Any) -> None:
    reference, random = folders.reference(name), Random(name)
    conversations = ConversationEncoder(folders[name], Encoder(folders[name]))
    checked = drawn = 0
    while checked < 50:
        talk = conversation(random)
        turns, drawn = read_turns({"messages": talk}), drawn + 1
        assert drawn < 400, "most are read and shown"
        if isinstance(turns, str):
            assert not any(map(is_learnt, talk)), turns
            continue
        encoded = conversations.encode(turns)
        if isinstance(encoded, str):
            assert encoded == _reason(reference, talk), talk
            continue
        _check(name, reference, talk, *encoded)
        checked += 1


def _reason(reference: Any, talk: list[dict[str, Any]]) -> str:
    """Why it must be refused; empty: it must not."""
    special = [token.content for token in reference.added_tokens_decoder.values() if token.special]
    if any(token in turn["content"] for turn in talk for token in special):
        return "special_token_in_text"
    try:
        reference.apply_chat_template(talk, tokenize=False)
    except Exception:  # noqa: BLE001 whatever a template raises
        return "template_refused"
    return ""


def _check(name: str, reference: Any, talk: list[dict[str, Any]], ids: list[int], mask: list[int]) -> None:
    last = len(talk) - 1
    expected = [SHOWN[name](turn["content"], place == last) for place, turn in enumerate(talk) if is_learnt(turn)]
    counted = runs(ids, mask, 1)
    shown = [reference.decode(run, skip_special_tokens=False) for run in counted]
    assert [text.lstrip() for text in shown] == [text.lstrip() for text in expected], talk
    for run, given, wanted in zip(counted, shown, expected, strict=True) if name in _BYTES else ():
        before = given.removesuffix(wanted)  # space of the template in one token with the first of the answer, if any
        assert before == "" or len(reference.decode(run[:1])) > len(before), talk
    text = reference.apply_chat_template(talk, tokenize=False)  # some leave out a system turn in the middle
    others = "".join(reference.decode(run, skip_special_tokens=False) for run in runs(ids, mask, 0))
    for place, turn in enumerate(talk):
        own = chr(_OWN + place)
        assert (own in others) == (own in text and not is_learnt(turn)), talk
