"""How the next token is chosen from logits. Greedy is temperature 0."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


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
        return "" if self.top_k >= 0 else f"top_k is {self.top_k}, it must be 0 (all) or more"

    def generator(self) -> Generator:
        """The request's own source of randomness: neighbours never change what it draws."""
        generator = Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed % 2**63)
        return generator


def choose(logits: Tensor, sampling: Sampling, generator: Generator) -> int:
    """Draw one token from logits of shape (V,): temperature, then top-k, then top-p (Holtzman, arXiv 1904.09751)."""
    scaled = logits / sampling.temperature
    if 0 < sampling.top_k < len(scaled):
        scaled = scaled.masked_fill(scaled < scaled.topk(sampling.top_k).values[-1], float("-inf"))
    probabilities = scaled.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.index_fill(0, order[outside], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))
