"""A template and its variables are found where transformers finds them."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.model.chat.renderer import ChatRenderer

ADDED = {"__type": "AddedToken", "content": "<|im_start|>", "lstrip": False, "normalized": False, "rstrip": False}
SAY = [{"role": "user", "content": "hi"}]


@pytest.fixture
def folder(folders: Any, tmp_path: Path) -> Path:
    """A tokenizer without a template."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders["chatml"] / name).read_bytes())
    return tmp_path


def configure(folder: Path, **fields: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def both(folder: Path) -> tuple[str, str]:
    """Our text and transformers'."""
    renderer = ChatRenderer(folder)
    try:
        ours = renderer.prompt(SAY).text
    finally:
        renderer.close()
    reference: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
    return ours, str(reference.apply_chat_template(SAY, tokenize=False, add_generation_prompt=True))


def test_a_file_counts_before_the_configuration(folder: Path) -> None:
    configure(folder, chat_template="configuration")
    assert both(folder) == ("configuration", "configuration")
    (folder / "chat_template.jinja").write_text("file")
    assert both(folder) == ("file", "file")


def test_of_named_templates_the_default_one_is_taken(folder: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain {{ tools is none }}"}]
    configure(folder, chat_template=named)
    assert both(folder) == ("plain True", "plain True")


def test_templates_in_their_own_folder_stand_beside_the_file(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    configure(folder, chat_template="configuration")
    with pytest.raises(ChatTemplateError, match="named tool_use, but none is named 'default'"):
        ChatRenderer(folder).prompt(SAY)
    (folder / "chat_template.jinja").write_text("file")
    assert both(folder) == ("file", "file")


def test_the_file_of_a_processor_is_taken_when_there_is_no_other(folder: Path) -> None:
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "processor"}))
    assert read_chat_folder(folder).template == "processor"
    configure(folder, chat_template="configuration")
    assert read_chat_folder(folder).template == "configuration"


@pytest.mark.parametrize(
    "fields",
    [
        {"bos_token": "<|im_start|>"},
        {"bos_token": ADDED},
        {"unk_token": "<|endoftext|>", "sep_token": "<|im_end|>"},
        {"extra_special_tokens": {"image_token": "<|im_start|>"}},
        {"add_bos_token": True},
    ],
)
def test_named_tokens_are_variables_of_the_template(folder: Path, fields: dict[str, Any]) -> None:
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "image", "add_bos")
    configure(
        folder,
        chat_template="|".join(f"{{{{ {name}_token is defined and {name}_token }}}}" for name in names),
        **fields,
    )
    ours, theirs = both(folder)
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("chat_template.jinja", b"x" * 1_100_000, "larger than 1,000,000 bytes"),
        ("chat_template.jinja", b"\xff\xfe", "not UTF-8"),
        ("tokenizer_config.json", b"{", "no JSON"),
        ("tokenizer_config.json", b"[" * 100_000, "no JSON"),
        ("tokenizer_config.json", b'{"chat_template": [1, {"name": 2}]}', "no chat template"),
        ("tokenizer_config.json", b"[]", "no chat template"),
    ],
)
def test_a_folder_that_cannot_be_read_says_so_when_a_chat_is_asked_for(
    folder: Path, name: str, content: bytes, sentence: str
) -> None:
    (folder / name).write_bytes(content)
    renderer = ChatRenderer(folder)
    with pytest.raises(ChatTemplateError, match=sentence):
        renderer.prompt(SAY)


def test_a_folder_without_a_template_names_the_other_route(folder: Path) -> None:
    with pytest.raises(ChatTemplateError, match="use /v1/completions"):
        ChatRenderer(folder).prompt(SAY)
