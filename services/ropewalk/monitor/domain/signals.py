"""What is measured on a request. Each signal is one number per request, or none if the request does not show it.

A new signal: add its name and its measure to `MEASURES` and its words to `MEANINGS`; bins, ranks, budget and events
follow. The novelty of a prompt stands apart: it needs the baseline's prompts.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.monitor.domain.novelty import ByteBigrams

CLIENT_CLOSED = 499
_LETTERS = bytes(byte for byte in range(256) if chr(byte).isascii() and chr(byte).isalpha())
_NO_LETTERS = bytes(byte for byte in range(0xC0) if byte not in _LETTERS)  # what is left: letters and first bytes


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """The part of a request log that is measured."""

    time: str
    request_id: str
    key_id: str
    run_id: str
    status: int
    latency_ms: float
    completion_tokens: int
    logprob_mean: float
    prompt: str


Measure = Callable[[MeasuredRequest], float | None]


def succeeded(request: MeasuredRequest) -> bool:
    """Did the request get its completion?"""
    return 200 <= request.status < 300


def _prompt_length(request: MeasuredRequest) -> float | None:
    return math.log2(1 + len(request.prompt.encode("utf-8", "replace")))


def _prompt_letters(request: MeasuredRequest) -> float | None:
    """Letters of ASCII, and every character beyond it, by its first byte in UTF-8."""
    if not request.prompt:
        return None
    return len(request.prompt.encode("utf-8", "replace").translate(None, _NO_LETTERS)) / len(request.prompt)


def _completion_logprob(request: MeasuredRequest) -> float | None:
    return request.logprob_mean if succeeded(request) and request.completion_tokens > 0 else None


def _latency(request: MeasuredRequest) -> float | None:
    if not succeeded(request) or request.completion_tokens <= 0:
        return None
    return math.log2(1 + max(request.latency_ms, 0.0) / request.completion_tokens)


def _error_rate(request: MeasuredRequest) -> float | None:
    return None if request.status == CLIENT_CLOSED else float(request.status >= 400)


NOVELTY = "prompt_novelty"
MEASURES: dict[str, Measure] = {
    "prompt_length": _prompt_length,
    "prompt_letters": _prompt_letters,
    "completion_logprob": _completion_logprob,
    "latency": _latency,
    "error_rate": _error_rate,
}

SIGNALS = (NOVELTY, *MEASURES)

# what a person reads in an alarm: the quantity, its unit, what a higher and a lower value means
MEANINGS: dict[str, tuple[str, str, str, str]] = {
    "prompt_novelty": (
        "novelty of the prompts",
        "bits per byte",
        "the prompts no longer look like those of the baseline",
        "the prompts have become more uniform than those of the baseline",
    ),
    "prompt_length": ("length of the prompts", "log2 bytes", "the prompts are longer", "the prompts are shorter"),
    "prompt_letters": (
        "share of letters in the prompts",
        "of all characters",
        "the prompts hold more letters and fewer signs: more prose, or another script",
        "the prompts hold fewer letters and more signs",
    ),
    "completion_logprob": (
        "confidence of the completions",
        "mean log-probability per token",
        "the model is surer of its tokens",
        "the model is less sure of its tokens",
    ),
    "latency": ("time per generated token", "log2 milliseconds", "answers are slower", "answers are faster"),
    "error_rate": ("share of failed requests", "of all requests", "more requests fail", "fewer requests fail"),
}


_LARGEST = 1e6  # stands for infinity, which has no quantiles
_MOST_SIGNALS = 8  # a digest of BLAKE2b has 64 bytes


def measured(name: str, request: MeasuredRequest) -> float:
    """A signal of a request; NaN if the request does not show it, or shows no number."""
    value = MEASURES[name](request)
    return math.nan if value is None else bounded(value)


def novelty(prompt: str, model: ByteBigrams) -> float:
    """How unlike the baseline's prompts a prompt is; NaN of no prompt."""
    return bounded(model.bits_per_byte(prompt)) if len(prompt) > 1 else math.nan


def bounded(value: float) -> float:
    """The value, or the number that stands for its infinity."""
    return min(max(value, -_LARGEST), _LARGEST) if value == value else value  # NaN is not equal to itself


def tie_breakers(requests: Sequence[MeasuredRequest]) -> NDArray[np.float64]:
    """Numbers in [0, 1), a row per request and a column per signal, that are a function of the requests' ids, so that
    a replay breaks ties the same way."""
    digests = b"".join(
        hashlib.blake2b(request.request_id.encode("utf-8", "replace"), digest_size=8 * _MOST_SIGNALS).digest()
        for request in requests
    )
    numbers = np.frombuffer(digests, dtype="<u8").reshape(len(requests), _MOST_SIGNALS)
    return np.asarray((numbers[:, : len(SIGNALS)] >> np.uint64(11)) / 2.0**53)
