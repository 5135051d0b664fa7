"""How the next token is chosen from logits. Greedy is temperature 0."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

MAX_STOPS = 64  # every one is looked for after every token
MAX_STOP_CHARS = 500
_COLDEST = 1e-6  # below this a temperature is greedy, and would be zero or infinite in float32


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The wishes of one request. `top_k` 0 means all; without a seed every call differs."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def violation(self) -> str:
        """One sentence naming the field and the value that cannot be, or nothing."""
        if self.max_tokens < 1:
            return f"max_tokens is {self.max_tokens}, it must be at least 1"
        if not 0 <= self.temperature <= 100:
            return f"temperature is {self.temperature}, it must be between 0 and 100"
        if not 0 < self.top_p <= 1:
            return f"top_p is {self.top_p}, it must be above 0 and at most 1"
        if self.top_k < 0:
            return f"top_k is {self.top_k}, it must be 0 (all) or more"
        if len(self.stop) > MAX_STOPS:
            return f"stop has {len(self.stop)} strings, it may have at most {MAX_STOPS}"
        if any(len(text) > MAX_STOP_CHARS for text in self.stop):
            return (
                f"stop has a string of {max(map(len, self.stop))} characters, at most {MAX_STOP_CHARS} are looked for"
            )
        return ""

    def generator(self) -> Generator:
        """The request's own source of randomness: neighbours never change what it draws."""
        generator = Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed % 2**63)
        return generator


def choose(logits: Tensor, sampling: Sampling, generator: Generator) -> int:
    """Draw one token from logits of shape (V,): temperature, top-k, then top-p (Holtzman, arXiv 1904.09751).

    Some may be minus infinity, not all. The likeliest token is always among those drawn from, so that no wish can leave
    nothing to draw.
    """
    scaled = (logits - logits.max()) / max(sampling.temperature, _COLDEST)
    if 0 < sampling.top_k < len(scaled):
        scaled = scaled.masked_fill(scaled < scaled.topk(sampling.top_k).values[-1], float("-inf"))
    probabilities = scaled.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        outside[0] = False  # in float32 a top_p below 1e-45 is 0
        probabilities = probabilities.index_fill(0, order[outside], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))
