"""What is measured on a request. Each signal is one number per request, or none if the request does not show it.

A new signal: add its name and its measure to `MEASURES`; bins, ranks, budget and events follow.
"""

import hashlib
import math
from collections.abc import Callable

from ropewalk.events.serving import RequestLog
from ropewalk.monitor.domain.novelty import ByteBigrams

CLIENT_CLOSED = 499
Measure = Callable[[RequestLog, ByteBigrams], float | None]


def succeeded(request: RequestLog) -> bool:
    """Did the request get its completion?"""
    return 200 <= request.status < 300


def _prompt_novelty(request: RequestLog, model: ByteBigrams) -> float | None:
    return model.bits_per_byte(request.prompt) if len(request.prompt) > 1 else None


def _prompt_length(request: RequestLog, _: ByteBigrams) -> float | None:
    return math.log2(1 + len(request.prompt.encode("utf-8", "replace")))


def _prompt_letters(request: RequestLog, _: ByteBigrams) -> float | None:
    if not request.prompt:
        return None
    return sum(character.isalpha() or ord(character) > 127 for character in request.prompt) / len(request.prompt)


def _completion_logprob(request: RequestLog, _: ByteBigrams) -> float | None:
    return request.logprob_mean if succeeded(request) and request.completion_tokens else None


def _latency(request: RequestLog, _: ByteBigrams) -> float | None:
    if not succeeded(request) or not request.completion_tokens:
        return None
    return math.log2(1 + max(request.latency_ms, 0.0) / request.completion_tokens)


def _error_rate(request: RequestLog, _: ByteBigrams) -> float | None:
    return None if request.status == CLIENT_CLOSED else float(request.status >= 400)


MEASURES: dict[str, Measure] = {
    "prompt_novelty": _prompt_novelty,
    "prompt_length": _prompt_length,
    "prompt_letters": _prompt_letters,
    "completion_logprob": _completion_logprob,
    "latency": _latency,
    "error_rate": _error_rate,
}

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


def measured(name: str, request: RequestLog, model: ByteBigrams) -> float | None:
    """A signal of a request; none if the request does not show it, or shows no number."""
    value = MEASURES[name](request, model)
    if value is None or math.isnan(value):
        return None
    return min(max(value, -_LARGEST), _LARGEST)


def tie_breaker(request_id: str, signal: str) -> float:
    """A number in [0, 1) that is a function of the request, so that a replay breaks ties the same way."""
    digest = hashlib.blake2b(f"{signal}/{request_id}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
