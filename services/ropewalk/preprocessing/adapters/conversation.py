"""Encodes conversations with the tokenizer's own chat template, marking what the assistant says."""

from pathlib import Path
from typing import Any, Literal

from ropewalk.corpus.document import ChatMessage, message_records

Fault = Literal["special_token_in_text", "template_mismatch"]


class ConversationEncoder:
    """Encodes to (ids, mask): mask is 1 on the tokens of the assistant's answers and the end token after each."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer  # seconds to import; only conversations need it

        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self._specials = tuple(self._tokenizer.all_special_tokens)

    def encode(self, messages: tuple[ChatMessage, ...]) -> tuple[list[int], list[int]] | Fault:
        """A special token inside a turn would forge a turn, so such a conversation is refused."""
        if any(special in turn.content for turn in messages for special in self._specials):
            return "special_token_in_text"
        turns = message_records(messages)
        whole = self._render(turns, prompt=False)
        spans = []
        for place, turn in enumerate(messages):
            if turn.role == "assistant":
                before = self._render(turns[:place], prompt=True)
                after = self._render(turns[: place + 1], prompt=False)
                if not (whole.startswith(after) and after.startswith(before)):
                    return "template_mismatch"
                spans.append((len(before), len(after)))
        encoded = self._tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        mask = [int(any(begin <= at and end <= stop for begin, stop in spans)) for at, end in encoded["offset_mapping"]]
        return encoded["input_ids"], mask

    def _render(self, turns: list[dict[str, str]], *, prompt: bool) -> str:
        if not turns and not prompt:
            return ""
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt)
        return text
