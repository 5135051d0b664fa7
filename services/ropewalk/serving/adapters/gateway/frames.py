"""The JSON of OpenAI's answers, whole and in pieces."""

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from ropewalk.serving.adapters.gateway.exchange import Exchange
from ropewalk.serving.domain.generation import Piece

DONE = b"data: [DONE]\n\n"


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(body) + b"\n\n"


@dataclass
class Frames:
    """Builds the answer to one request. `fingerprint` names the model version and checkpoint that answered."""

    exchange: Exchange
    model: str
    fingerprint: str
    with_token_ids: bool
    with_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: bool = False

    def chunk(self, piece: Piece) -> bytes:
        """A piece of a stream."""
        body = self._envelope("chat.completion.chunk")
        choice: dict[str, Any] = {"index": 0, "finish_reason": piece.finish_reason or None, "logprobs": None}
        if self._chat:
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

    def usage_chunk(self) -> bytes:
        """The last chunk of a stream whose client asked for usage."""
        return event(self._envelope("chat.completion.chunk") | {"choices": [], "usage": self._usage()})

    def whole(self) -> bytes:
        """The answer to a request that does not stream."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.exchange.finish_reason, "logprobs": None}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": self.exchange.text, "refusal": None}
        else:
            choice["text"] = self.exchange.text
        if self.with_token_ids:
            choice["token_ids"] = self.exchange.token_ids
        return orjson.dumps(self._envelope("chat.completion") | {"choices": [choice], "usage": self._usage()})

    @property
    def _chat(self) -> bool:
        return self.exchange.route == "chat"

    def _envelope(self, of_chat: str) -> dict[str, Any]:
        return {
            "id": self.exchange.request_id,
            "object": of_chat if self._chat else "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def _usage(self) -> dict[str, int]:
        given, made = self.exchange.num_input_tokens, self.exchange.num_output_tokens
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
