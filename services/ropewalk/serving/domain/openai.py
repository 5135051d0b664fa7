"""What an OpenAI client may ask for. Fields we cannot honour are refused by name, never silently ignored.

Extensions to the OpenAI API: `top_k`, `ignore_eos` and `return_token_ids`. `user`, `metadata` and the like are
labels: they are accepted, bounded, and change no answer; but of several versions behind a name, a `user` always asks
the same one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ropewalk.events.foreign import cut, one_line, quoted
from ropewalk.serving.domain.generation import Generation
from ropewalk.serving.domain.neutral import (
    CHAT,
    COMPLETION,
    MESSAGE,
    PART,
    STREAM_OPTIONS,
    Neutral,
    RequestError,
    without_neutral,
)
from ropewalk.serving.domain.structured import ResponseFormat

_CHAT_TOKENS = 1024  # when a chat client names no limit; the context ends it earlier for small models
_COMPLETION_TOKENS = 16
_MAX_STOPS, _MAX_STOP = 16, 500  # strings, characters of each; OpenAI takes 4
_MAX_MESSAGES = 2048
_MAX_LABELS, _MAX_LABEL = 64, 4096
_LARGEST = 2**31 - 1
_GREEDY_BELOW = 1e-5  # a lower temperature would overflow the logits' float32, and chooses the same token
_LEAST_TOP_P = 1e-6  # less would be zero in float32; the most likely token is all that is left long before

_Label = Annotated[str, Field(max_length=_MAX_LABEL)]
_TokenId = Annotated[int, Field(ge=0, le=_LARGEST)]
_Stop = Annotated[str, Field(max_length=_MAX_STOP)]
_Labels = Annotated[dict[Annotated[str, Field(max_length=_MAX_LABEL)], _Label], Field(max_length=_MAX_LABELS)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _StreamOptions(_Frozen):
    include_usage: bool = False


class _Common(_Frozen):
    neutral: ClassVar[Neutral]

    model: str
    max_tokens: int | None = Field(default=None, ge=1, le=_LARGEST)
    temperature: float = Field(default=1.0, ge=0, le=100)
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=-1, le=_LARGEST)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: tuple[_Stop, ...] = Field(default=(), max_length=_MAX_STOPS, fail_fast=True)
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    ignore_eos: bool = False
    response_format: ResponseFormat = ResponseFormat()
    return_token_ids: bool = False
    user: _Label = ""
    safety_identifier: _Label = ""
    prompt_cache_key: _Label = ""
    prompt_cache_retention: _Label = ""
    request_id: _Label = ""
    metadata: _Labels = Field(default_factory=dict)

    def generation(self, prompt: str, *, max_tokens: int) -> Generation:
        """The completion to make of a plain text."""
        return Generation(
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=self.temperature if self.temperature >= _GREEDY_BELOW else 0.0,
            top_p=max(self.top_p, _LEAST_TOP_P),
            top_k=max(0, self.top_k),
            seed=self.seed,
            stop=tuple(text for text in self.stop if text),
            ignore_eos=self.ignore_eos,
            schema=self.response_format.schema_followed(),
        )


_TokenIds = Annotated[tuple[_TokenId, ...], Field(fail_fast=True)]


class CompletionRequest(_Common):
    """POST /v1/completions. An empty prompt begins a document."""

    neutral: ClassVar[Neutral] = COMPLETION

    prompt: str | _TokenIds

    def to_generation(self) -> Generation:
        """The prompt as text, or as token ids that are taken as they are."""
        limit = self.max_tokens or _COMPLETION_TOKENS
        if isinstance(self.prompt, str):
            return self.generation(self.prompt, max_tokens=limit)
        return replace(self.generation("", max_tokens=limit), prompt_token_ids=self.prompt)


class _Part(_Frozen):
    type: Literal["text"]
    text: str


class RequestMessage(_Frozen):
    """One turn; content parts must be text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[tuple[_Part, ...], Field(fail_fast=True)]

    def as_template_value(self) -> dict[str, str]:
        """What a chat template sees."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(_Common):
    """POST /v1/chat/completions."""

    neutral: ClassVar[Neutral] = CHAT

    messages: tuple[RequestMessage, ...] = Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=_LARGEST)

    def to_generation(self, prompt: str) -> Generation:
        """`prompt` is the rendered chat, whose marks are still to be named."""
        limit = self.max_completion_tokens or self.max_tokens or _CHAT_TOKENS
        return self.generation(prompt, max_tokens=limit)


_IN_JSON = {"tuple_type": "Input should be a list", "model_type": "Input should be a JSON object"}

R = TypeVar("R", CompletionRequest, ChatRequest)


def parse(kind: type[R], body: Any) -> R:
    """Validate a decoded body. Raises RequestError naming the field and the value."""
    if not isinstance(body, dict):
        raise RequestError(f"the body is {quoted(body)}: send a JSON object", "body")
    fields = without_neutral(body, kind.model_fields, kind.neutral)
    if isinstance(options := fields.get("stream_options"), dict):
        fields["stream_options"] = without_neutral(
            options, _StreamOptions.model_fields, STREAM_OPTIONS, "stream_options."
        )
    if isinstance(stop := fields.get("stop"), str):
        fields["stop"] = [stop]
    if isinstance(turns := fields.get("messages"), list) and len(turns) <= _MAX_MESSAGES:
        fields["messages"] = list(_turns(turns))
    if isinstance(prompt := fields.get("prompt"), list):
        fields["prompt"] = _one_prompt(prompt)
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _turns(turns: list[Any]) -> Iterator[Any]:
    """Turns without what says nothing. An assistant that only called tools has no content; elsewhere it is missing."""
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            yield turn
            continue
        place = f"messages.{index}."
        said = without_neutral(turn, RequestMessage.model_fields, MESSAGE, place)
        if said.get("role") == "assistant":
            said.setdefault("content", "")
        if isinstance(parts := said.get("content"), list):
            said["content"] = [_part(part, f"{place}content.{number}.") for number, part in enumerate(parts)]
        yield said


def _part(part: Any, place: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    if part.get("type") != "text":
        kind = quoted(part.get("type"))
        raise RequestError(f"the part {place[:-1]!r} is of type {kind}: only text is supported here", place + "type")
    return without_neutral(part, _Part.model_fields, PART, place)


def _one_prompt(prompts: list[Any]) -> Any:
    """A list is one prompt of token ids, or holds the one prompt there may be."""
    if len(prompts) == 1 and isinstance(prompts[0], str | list):
        return prompts[0]
    if not prompts or isinstance(prompts[0], str | list):
        raise RequestError(f"prompt has {len(prompts)} entries: send one prompt per request", "prompt")
    return prompts


def _refusal(error: ValidationError) -> RequestError:
    """About the deepest error: where a field may be of two types, that is the one that was meant."""
    errors = error.errors(include_url=False, include_context=False)
    worst = max(errors, key=lambda item: len(item["loc"]))
    field = one_line(".".join(str(part) for part in worst["loc"] if not _is_tag(part)) or "body")
    if worst["type"] == "missing":
        return RequestError(f"the field {field!r} is missing", field)
    wanted = _IN_JSON.get(worst["type"]) or cut(worst["msg"]).replace("Tuple", "The list")
    return RequestError(f"the field {field!r} has the value {quoted(worst['input'])}: {wanted}", field)


def _is_tag(part: int | str) -> bool:
    """Whether a part of a location names one of two types instead of a field."""
    return part == "str" or "[" in str(part)
