"""The JSON of OpenAI's answers, whole and in pieces."""

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from ropewalk.serving.domain.generation import Piece

DONE = b"data: [DONE]\n\n"


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(body) + b"\n\n"


@dataclass
class Frames:
    """Builds the answer to one request. `fingerprint` names the model version and checkpoint that answered."""

    request_id: str
    model: str
    fingerprint: str
    chat: bool
    with_token_ids: bool
    with_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: bool = False

    def chunk(self, piece: Piece) -> bytes:
        """A piece of a stream."""
        body = self._envelope("chat.completion.chunk" if self.chat else "text_completion")
        choice: dict[str, Any] = {"index": 0, "finish_reason": piece.finish_reason or None, "logprobs": None}
        if self.chat:
            choice["delta"] = {"content": piece.text} if self._begun else {"role": "assistant", "content": piece.text}
        else:
            choice["text"] = piece.text
        if self.with_token_ids:
            choice["token_ids"] = piece.token_ids
        self._begun = True
        body["choices"] = [choice]
        if self.with_usage:
            body["usage"] = None
        return event(body)

    def usage_chunk(self, num_input: int, num_output: int) -> bytes:
        """The last chunk of a stream whose client asked for usage."""
        body = self._envelope("chat.completion.chunk" if self.chat else "text_completion")
        return event(body | {"choices": [], "usage": _usage(num_input, num_output)})

    def whole(self, text: str, token_ids: list[int], finish_reason: str, usage: tuple[int, int]) -> bytes:
        """The answer to a request that does not stream; `usage` is (input, output) tokens."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        if self.with_token_ids:
            choice["token_ids"] = token_ids
        body = self._envelope("chat.completion" if self.chat else "text_completion")
        return orjson.dumps(body | {"choices": [choice], "usage": _usage(*usage)})

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.request_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def _usage(num_input: int, num_output: int) -> dict[str, int]:
    return {"prompt_tokens": num_input, "completion_tokens": num_output, "total_tokens": num_input + num_output}
