"""What an OpenAI client may ask for. Fields we cannot honour are refused by name, never silently ignored.

Extensions to the OpenAI API: `top_k`, `ignore_eos` and `return_token_ids`.
"""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ropewalk.serving.domain.generation import Generation

_CHAT_TOKENS = 1024  # when a chat client names no limit; the context ends it earlier for small models


class RequestError(ValueError):
    """The body is not a request we can honour. `param` is the field."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class _StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    include_usage: bool = False


class _Common(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1)
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    ignore_eos: bool = False
    return_token_ids: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    # accepted only with the value that changes nothing
    n: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def generation(self, prompt: str, token_ids: tuple[int, ...] | None, *, raw: bool, max_tokens: int) -> Generation:
        """The completion to make. `raw`: the tokenizer adds its own marks around the prompt."""
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        return Generation(
            prompt=prompt,
            prompt_token_ids=token_ids,
            special_tokens=raw,
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            seed=self.seed,
            stop=stop,
            ignore_eos=self.ignore_eos,
        )


class CompletionRequest(_Common):
    """POST /v1/completions."""

    prompt: str | tuple[int, ...] | tuple[str, ...]
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    logprobs: Literal[0] | None = None
    suffix: Literal[""] | None = None

    def to_generation(self) -> Generation:
        """Raises RequestError for more than one prompt."""
        if isinstance(self.prompt, str):
            text, ids = self.prompt, None
        elif len(self.prompt) == 1 and isinstance(self.prompt[0], str):
            text, ids = self.prompt[0], None
        elif self.prompt and all(isinstance(one, int) for one in self.prompt):
            text, ids = "", tuple(one for one in self.prompt if isinstance(one, int))
        else:
            raise RequestError(f"prompt has {len(self.prompt)} entries: send one prompt per request", "prompt")
        return self.generation(text, ids, raw=True, max_tokens=self.max_tokens or 16)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn; content parts must be text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[_Part, ...]

    def as_template_value(self) -> dict[str, str]:
        """What a chat template sees."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(_Common):
    """POST /v1/chat/completions."""

    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: Literal[False] | None = None

    def to_generation(self, prompt: str) -> Generation:
        """`prompt` is the rendered chat template, which holds all marks already."""
        limit = self.max_completion_tokens or self.max_tokens or _CHAT_TOKENS
        return self.generation(prompt, None, raw=False, max_tokens=limit)


R = TypeVar("R", CompletionRequest, ChatRequest)


def parse(kind: type[R], body: Any) -> R:
    """Validate a decoded body. Raises RequestError naming the field and the value."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        value = str(first["input"])
        shown = value if len(value) <= 100 else value[:100] + "…"
        if first["type"] == "missing":
            raise RequestError(f"the field {field!r} is missing", field) from None
        raise RequestError(f"the field {field!r} has the value {shown!r}: {first['msg']}", field) from None
