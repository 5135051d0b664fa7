"""How fast a model reads and writes: for one request alone, and on one core at full batch. Needs torch.

Full batch is what the endpoint's engine does when its slots are full, on one thread and without a prompt cache: it
reads one prompt after the other and writes all answers together. Here transformers does the same, and
`benchmarks/finetune/price_at_load.py` holds the result against the engine under load.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from transformers import Cache, PreTrainedModel

from ropewalk.evaluator.adapters.batched_greedy import SLOTS, new_cache
from ropewalk.evaluator.domain.metrics.answers.spent import FULL_BATCH, TIMED_REQUESTS, TIMED_TOKENS

_FULL_PROMPTS = 2  # read on one core: long ones take seconds there


@dataclass(frozen=True)
class TokenPace:
    """Seconds a token. `read` and `write`: of a request alone, by the clock; `core_…`: of a core, at full batch."""

    read: float = 0.0
    write: float = 0.0
    core_read: float = 0.0
    core_write: float = 0.0


@torch.inference_mode()
def measure_pace(model: PreTrainedModel, prompts: Sequence[list[int]]) -> TokenPace:
    """The first prompts are as good as any: items come in hash order."""
    alone = [_time(model, prompt, 1, time.perf_counter) for prompt in prompts[:TIMED_REQUESTS]]
    with _one_core():
        rows = max(1, min(FULL_BATCH, SLOTS // (len(prompts[0]) + TIMED_TOKENS)))
        full = [_time(model, prompt, rows, time.thread_time) for prompt in prompts[:_FULL_PROMPTS]]
    read, write, core_read, core_write = (
        statistics.median(pace[at] for pace in paces) for paces in (alone, full) for at in (0, 1)
    )
    return TokenPace(read, write, core_read, core_write / rows)


def _time(model: PreTrainedModel, prompt: list[int], rows: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds a token of reading one prompt, and a step of writing behind `rows` copies of it."""
    tokens, cache = torch.tensor([prompt]), new_cache()
    began = clock()
    tokens = _next(model, tokens, cache)
    read = (clock() - began) / len(prompt)
    if rows > 1:
        cache.batch_repeat_interleave(rows)
        tokens = tokens.repeat(rows, 1)
    ends = [clock()]
    for _ in range(TIMED_TOKENS):
        tokens = _next(model, tokens, cache)
        ends.append(clock())
    return read, statistics.median(after - before for before, after in pairwise(ends))


def _next(model: PreTrainedModel, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
    logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    best: torch.Tensor = logits[:, -1].argmax(-1, keepdim=True)  # (B, 1)
    return best


@contextmanager
def _one_core() -> Iterator[None]:
    """All of the work in this thread, whose processor time is then that of the work, whoever else computes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
