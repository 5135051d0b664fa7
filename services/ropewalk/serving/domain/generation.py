"""What is asked of an inference backend and what it answers, in our words."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One completion to be made. `prompt_token_ids` replaces `prompt` when given.

    The prompt is plain text but for its `marks`, characters [begin, end) where a chat template wrote a special token.
    `spelled` are special tokens that a message only writes. `schema` is the JSON of the JSON schema that the answer
    follows, or empty.
    """

    prompt: str = ""
    prompt_token_ids: tuple[int, ...] | None = None
    marks: tuple[tuple[int, int], ...] = ()
    spelled: tuple[str, ...] = ()
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    schema: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some tokens of a completion. `finish_reason` (stop, length, cancelled) is empty but for the last piece.

    `num_output_tokens` counts this piece, `logprob_mean` all pieces so far (natural logarithm).
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: str = ""
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    logprob_mean: float = 0.0
