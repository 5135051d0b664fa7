"""What the folder of a Hugging Face tokenizer says about chats: its template, its named tokens, its marks.

The places and their order are transformers': `chat_template.jinja` with `additional_chat_templates/` beside it, then
the configuration's `chat_template` (one, or a list of named ones), then `chat_template.json` of a processor.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.model.chat.errors import ChatTemplateError

MAX_TEMPLATE_BYTES = 1_000_000  # public ones have at most some 30,000
MAX_NAMES = 100
_MAIN = "chat_template.jinja"
_MORE = "additional_chat_templates"
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class ChatFolder:
    """A template in Jinja (empty: none), its variables (`eos_token` and the like), and the added tokens.

    `special` and `ordinary` are the tokenizer's added tokens; an ordinary one is a mark if the template spells it.
    """

    template: str
    variables: dict[str, str]
    special: tuple[str, ...]
    ordinary: tuple[str, ...]


def read_chat_folder(folder: Path) -> ChatFolder:
    """Raises ChatTemplateError when there is no one template to take, or when a file is no JSON or too large."""
    config = _read_json(folder / "tokenizer_config.json")
    added = _added_tokens(folder / "tokenizer.json")
    special = {token["content"] for token in added if token.get("special")} | set(named_tokens(folder))
    return ChatFolder(
        template=default_template(_templates(folder, config)),
        variables=_variables(folder, config),
        special=tuple(sorted(special - {""})),
        ordinary=tuple(sorted({token["content"] for token in added} - special - {""})),
    )


def named_tokens(folder: Path) -> list[str]:
    """The special tokens that the configuration names, with and without a role. Raises ChatTemplateError."""
    config = _read_json(folder / "tokenizer_config.json")
    lists = [_listed(config.get(name)) for name in ("additional_special_tokens", "extra_special_tokens")]
    texts = {*_variables(folder, config).values(), *(_spelling(token) for tokens in lists for token in tokens)}
    return sorted(texts - {""})


def _templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Templates by name."""
    files = sorted((folder / _MORE).glob("*.jinja"))[:MAX_NAMES]
    found = {path.stem: _read(path) for path in files}
    if (folder / _MAIN).is_file():
        found[_DEFAULT] = _read(folder / _MAIN)
    written = found or config.get("chat_template") or _read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(written, str):
        written = {_DEFAULT: written}
    if isinstance(written, list):
        written = {entry.get("name"): entry.get("template") for entry in written if isinstance(entry, dict)}
    named = written if isinstance(written, dict) else {}
    return {name: text for name, text in named.items() if isinstance(name, str) and isinstance(text, str)}


def default_template(templates: dict[str, str]) -> str:
    """The one for chats without tools; empty if there are none. Raises ChatTemplateError when none is the default."""
    if not templates:
        return ""
    if _DEFAULT not in templates:
        names = ", ".join(sorted(name[:40] for name in templates)[:8])
        raise ChatTemplateError(f"there are chat templates named {names}, but none is named {_DEFAULT!r}")
    if len(templates[_DEFAULT].encode("utf-8", "surrogatepass")) > MAX_TEMPLATE_BYTES:
        raise ChatTemplateError(f"the chat template is larger than {MAX_TEMPLATE_BYTES:,} bytes")
    return templates[_DEFAULT]


def _variables(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Tokens by name. The old `special_tokens_map.json` counts where the configuration has no added tokens."""
    legacy = {} if "added_tokens_decoder" in config else _read_json(folder / "special_tokens_map.json")
    tokens = config | legacy
    for group in ("extra_special_tokens", "model_specific_special_tokens"):
        tokens = tokens | (tokens[group] if isinstance(tokens.get(group), dict) else {})
    spelled = {name: _spelling(token) for name, token in tokens.items() if name.endswith("_token")}
    return {name: text for name, text in spelled.items() if text}


def _spelling(token: Any) -> str:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []


def _added_tokens(path: Path) -> list[dict[str, Any]]:
    tokens = _read_json(path).get("added_tokens") or []
    return [token for token in tokens if isinstance(token, dict) and isinstance(token.get("content"), str)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise ChatTemplateError(f"{path.name} is no JSON: {str(error)[:200]}") from None
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_TEMPLATE_BYTES:
        raise ChatTemplateError(f"{path.name} is larger than {MAX_TEMPLATE_BYTES:,} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ChatTemplateError(f"{path.name} is not UTF-8: {error.reason} at offset {error.start}") from None
