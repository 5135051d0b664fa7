"""Chats are rendered, encoded and masked as transformers does it, for templates of many kinds."""

from collections.abc import Iterator
from typing import Any

import pytest

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer

NAMES = [
    "chatml", "llama2", "llama3", "mistral", "gemma", "phi3", "zephyr", "deepseek", "command_r", "olmo", "qwen3",
    "generation", "json",
]  # fmt: skip


def turns(*contents: str, system: str = "") -> list[dict[str, Any]]:
    """User and assistant in turn, behind a system turn if there is one."""
    said = [{"role": ("user", "assistant")[place % 2], "content": content} for place, content in enumerate(contents)]
    return [{"role": "system", "content": system}, *said] if system else said


CONVERSATIONS = {
    "one turn": turns("hi"),
    "many turns": turns("hi", "ho", "what is\n3 + 4?", "7", "why?"),
    "a system turn": turns("hi", "ho", "again", system="Be kind.\n"),
    "an answer last": turns("hi", "Hello, what can I do for you?", "nothing", "Grüße 🎉, 你好"),
    "spaces at the ends": turns("  hi \n\n", " \n ho  ", "\tx ", system="  be kind  "),
    "emoji": turns("👩‍👩‍👧‍👦 🎉 ünï ไทย", "🎉", "e\u0301"),
    "signs of many kinds": turns("a < b [c] {d} </a> <| &lt; \"q\" 'q' \\n %s {{ x }} {% if %}", "<b>[1]</b>", "x|>"),
    "code": turns("```py\nif a<b: print('[x]')\n```", "def add(a, b):\n    return a + b\n", "\n\n\nmore\n\n"),
    "the assistant first": [{"role": "assistant", "content": "Good morning"}, *turns("hi", "ho")],
    "two users": [*turns("hi"), *turns("ho")],
    "a system turn in the middle": [*turns("hi", "ho"), *turns("x", system="be kind")],
    "a think block": turns("hi", "<think>\nhm, so\n</think>\n\nho", "again", "<think>\nnow\n</think>\n\nso"),
    "reasoning beside": [*turns("hi"), {"role": "assistant", "content": "ho", "reasoning_content": "hm"}, *turns("x")],
    "null fields": [{"role": "user", "content": "hi", "name": None, "tool_calls": None}],
    "a name": [{"role": "user", "content": "hi", "name": "ann"}],
}


@pytest.fixture(params=NAMES, scope="module")
def family(request: pytest.FixtureRequest, folders: Any) -> Iterator[tuple[str, Any, ChatRenderer, Encoder]]:
    renderer = ChatRenderer(folders[request.param])
    yield request.param, folders.reference(request.param), renderer, Encoder(folders[request.param])
    renderer.close()


def expected(reference: Any, messages: Any, **wishes: Any) -> Any:
    """What transformers says, or that it refuses."""
    try:
        return reference.apply_chat_template(messages, **wishes)
    except Exception:  # noqa: BLE001 whatever a template raises
        return None


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_text_and_ids_are_those_of_transformers(family: Any, messages: Any) -> None:
    _, reference, renderer, encoder = family
    text = expected(reference, messages, tokenize=False, add_generation_prompt=True)
    if text is None:
        with pytest.raises(ChatTemplateError):
            renderer.prompt(messages)
        return
    prompt = renderer.prompt(messages)
    assert prompt.text == text
    ids = reference.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert encoder.prompt(prompt).ids == ids


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_only_answers_count_and_each_of_them(family: Any, messages: Any) -> None:
    name, reference, renderer, encoder = family
    if name == "json":
        pytest.skip("it shows every answer twice")
    text = expected(reference, messages, tokenize=False)
    answers = [turn["content"].strip() for turn in messages if turn["role"] == "assistant"]
    if text is None or not answers:
        with pytest.raises(ChatTemplateError):
            renderer.conversation(messages)
        return
    prompt = renderer.conversation(messages)
    assert prompt.text == text
    shown = [prompt.text[begin:end] for begin, end in prompt.answers]
    assert len(shown) == len(answers)
    for answer, part in zip(answers, shown, strict=True):
        assert answer.rpartition("</think>")[2].strip() in part
        for other in (turn["content"].strip() for turn in messages if turn["role"] != "assistant"):
            assert len(other) < 4 or other not in part
    encoded = encoder.prompt(prompt)
    assert encoded.ids == reference.apply_chat_template(messages)["input_ids"]
