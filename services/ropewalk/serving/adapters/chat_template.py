"""Renders the chat template of a Hugging Face tokenizer without transformers: Jinja in a sandbox."""

import json
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment


class ChatTemplateError(ValueError):
    """The model has no chat template, or it refuses these messages."""


class ChatTemplate:
    """The template of one model version. An absent one is an error only when it is asked for."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        self._template = environment.from_string(source) if source else None
        self._special_tokens = special_tokens

    @classmethod
    def of(cls, folder: Path) -> "ChatTemplate":
        """From chat_template.jinja or tokenizer_config.json, as transformers looks for it."""
        file, path = folder / "chat_template.jinja", folder / "tokenizer_config.json"
        config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        source = file.read_text() if file.is_file() else config.get("chat_template") or ""
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: config[name] for name in names if config.get(name)}
        return cls(
            source, {name: token if isinstance(token, str) else token["content"] for name, token in tokens.items()}
        )

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt for the next assistant turn. Raises ChatTemplateError."""
        if self._template is None:
            raise ChatTemplateError("this model has no chat template: use /v1/completions")
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._special_tokens)
        except TemplateError as error:
            raise ChatTemplateError(f"the chat template refuses these messages: {error}") from None


def _refuse(message: str) -> None:
    raise TemplateError(message)
