"""The loss mask: what the assistant says and the end token after it, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import NoAnswerFoundError
from ropewalk.model.chat.folder import ChatFolder
from ropewalk.model.chat.renderer import ChatRenderer

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "Grüße 🎉"},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "  done\n"},
]
SHOWN: dict[str, list[str]] = {
    "chatml": ["Grüße 🎉<|im_end|>", "  done\n<|im_end|>"],
    "llama2": ["Grüße 🎉 </s>", "done </s>"],
    "llama3": ["Grüße 🎉<|eot_id|>", "done<|eot_id|>"],
    "mistral": ["Grüße 🎉</s>", "done</s>"],
    "phi3": ["Grüße 🎉<|end|>", "  done\n<|end|>"],
    "zephyr": ["Grüße 🎉</s>", "  done\n</s>"],
    "deepseek": ["Grüße 🎉<｜end▁of▁sentence｜>", "  done\n<｜end▁of▁sentence｜>"],
    "command_r": ["Grüße 🎉<|END_OF_TURN_TOKEN|>", "done<|END_OF_TURN_TOKEN|>"],
    "olmo": ["Grüße 🎉<|endoftext|>", "  done\n<|endoftext|>"],
    "qwen3": ["Grüße 🎉<|im_end|>", "<think>\n\n</think>\n\n  done\n<|im_end|>"],
    "generation": ["Grüße 🎉<|im_end|>", "  done\n<|im_end|>"],
}
Make = Callable[[Path | ChatFolder], ChatRenderer]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ChatRenderer] = []

    def renderer(folder: Path | ChatFolder) -> ChatRenderer:
        made.append(ChatRenderer(folder))
        return made[-1]

    yield renderer
    for one in made:
        one.close()


def answers(make: Make, folder: Path | ChatFolder, messages: list[dict[str, Any]]) -> list[str]:
    prompt = make(folder).conversation(messages)
    return [prompt.text[begin:end] for begin, end in prompt.answers]


def a_folder(template: str) -> ChatFolder:
    return ChatFolder(template=template, variables={}, special=("<|end|>",), ordinary=())


@pytest.mark.parametrize("name", SHOWN)
def test_each_answer_counts_with_its_end_token(make: Make, folders: Any, name: str) -> None:
    assert answers(make, folders[name], TALK) == SHOWN[name]


def test_the_mask_is_that_of_transformers_where_the_template_says_what_is_generated(make: Make, folders: Any) -> None:
    prompt = make(folders["generation"]).conversation(TALK)
    encoded = Encoder(folders["generation"]).prompt(prompt)
    reference = folders.reference("generation").apply_chat_template(TALK, return_assistant_tokens_mask=True)
    assert encoded.ids == reference["input_ids"]
    assert encoded.mask(prompt.answers) == reference["assistant_masks"]


@pytest.mark.parametrize("name", SHOWN)
def test_the_tokens_that_count_are_those_of_the_answers(make: Make, folders: Any, name: str) -> None:
    prompt = make(folders[name]).conversation(TALK)
    encoded = Encoder(folders[name]).prompt(prompt)
    counted = [number for number, counts in zip(encoded.ids, encoded.mask(prompt.answers), strict=True) if counts]
    said = folders.reference(name).decode(counted, skip_special_tokens=False)
    # a token across the border, as SentencePiece's of a line break and spaces, counts; so does transformers'
    assert "".join(said.split()) == "".join("".join(SHOWN[name]).split())


def test_a_think_block_is_part_of_the_last_answer_and_no_reason_to_refuse_the_others(make: Make, folders: Any) -> None:
    talk = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\none"},
        {"role": "user", "content": "2"},
        {"role": "assistant", "content": "<think>\nso\n</think>\n\ntwo"},
    ]
    shown = answers(make, folders["qwen3"], talk)
    assert shown == ["one<|im_end|>", "<think>\nso\n</think>\n\ntwo<|im_end|>"]


def test_an_answer_of_weight_0_is_read_and_not_learnt(make: Make, folders: Any) -> None:
    talk = [dict(turn) for turn in TALK]
    talk[2]["weight"] = 0  # type: ignore[assignment]
    assert answers(make, folders["chatml"], talk) == ["  done\n<|im_end|>"]
    assert answers(make, folders["generation"], talk) == ["  done\n<|im_end|>"]


def test_what_follows_an_answer_without_an_end_token_does_not_count(make: Make) -> None:
    template = "{% for m in messages %}<|end|>{{ m.role }}: {{ m.content }}{% endfor %}"
    assert answers(make, a_folder(template), TALK) == ["Grüße 🎉", "  done\n"]


def test_an_answer_that_another_turn_repeats_is_found_at_its_own_place(make: Make, folders: Any) -> None:
    talk = [{"role": role, "content": "same"} for role in ("user", "assistant", "user", "assistant")]
    prompt = make(folders["chatml"]).conversation(talk)
    assert [prompt.text[:begin].endswith("<|im_start|>assistant\n") for begin, _ in prompt.answers] == [True, True]


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
        "{% generation %}{% endgeneration %}",
    ],
)
def test_a_template_that_shows_no_answer_or_shows_it_twice_has_nothing_to_learn(make: Make, template: str) -> None:
    with pytest.raises(NoAnswerFoundError):
        make(a_folder(template)).conversation(TALK)


def test_the_content_of_the_last_answer_is_found_for_evaluation(make: Make, folders: Any) -> None:
    for name in ("chatml", "llama3", "qwen3", "generation"):
        prompt = make(folders[name]).last_answer(TALK[:3])
        assert [prompt.text[begin:end] for begin, end in prompt.answers] == ["Grüße 🎉"]
