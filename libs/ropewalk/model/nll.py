"""How well a model predicts documents: negative log-likelihood in nats, and bits per byte.

Bits per byte compares models with different tokenizers: the nats of all tokens over the bytes of the text.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from ropewalk.model.linear_nats import IGNORED


@dataclass(frozen=True, kw_only=True)
class ScoredTokens:
    """Tokens to score and the bytes they stand for. `counted` limits the score to some tokens (chat answers)."""

    tokens: Sequence[int]
    num_bytes: int
    counted: Sequence[bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """The sum over the scored tokens of one document."""

    nats: float
    num_tokens: int
    num_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Of this document alone."""
        return self.nats / math.log(2) / max(1, self.num_bytes)


@dataclass(frozen=True)
class _Window:
    document: int
    inputs: list[int]
    targets: list[int]


def bits_per_byte(scores: Sequence[Score]) -> float:
    """Of all documents together: long ones weigh more."""
    return sum(score.nats for score in scores) / math.log(2) / max(1, sum(score.num_bytes for score in scores))


@torch.inference_mode()
def score_documents(
    model: PreTrainedModel,
    documents: Sequence[ScoredTokens],
    *,
    context_length: int,
    start_id: int,
    tokens_at_once: int = 4096,
) -> list[Score]:
    """Score every token of every document exactly once, in the order of `documents`.

    The first token is predicted from `start_id` (the end-of-text token, as in packed training). A document longer
    than the context is covered by windows that overlap by half, of which only the new half counts, so that a token
    sees between half a context and a whole one. As many windows go together as have `tokens_at_once`, padding counted.
    """
    windows = [
        w for index, document in enumerate(documents) for w in _windows(index, document, context_length, start_id)
    ]
    windows.sort(key=lambda window: -len(window.inputs))  # equal lengths together: little padding
    nats = [0.0] * len(documents)
    counts = [0] * len(documents)
    while windows:
        count = max(1, tokens_at_once // len(windows[0].inputs))  # it is the longest
        batch, windows = windows[:count], windows[count:]
        for window, losses in zip(batch, _losses_and_logits(model, batch)[0], strict=True):
            nats[window.document] += float(losses.double().sum())
            counts[window.document] += sum(target != IGNORED for target in window.targets)
    return [
        Score(nats=total, num_tokens=count, num_bytes=document.num_bytes)
        for total, count, document in zip(nats, counts, documents, strict=True)
    ]


class Said(NamedTuple):
    """The log-likelihood of a continuation, in nats, and whether every token of it is the likeliest."""

    nats: float
    is_greedy: bool


@torch.inference_mode()
def score_continuations(
    model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, context_length: int, at_once: int
) -> list[Said]:
    """How likely each continuation is behind its context; both have a token at least.

    Nothing stands before the context, and what is too long loses its beginning, as in lm-evaluation-harness. A batch
    has about `at_once` tokens; which pairs share one depends on nothing but the pairs.
    """
    windows = [_continued(index, context, said, context_length) for index, (context, said) in enumerate(pairs)]
    windows.sort(key=lambda window: -len(window.inputs))
    found, first = [Said(0.0, True)] * len(pairs), 0
    while first < len(windows):
        batch = windows[first : first + max(1, at_once // len(windows[first].inputs))]
        losses, logits = _losses_and_logits(model, batch)
        for window, mine, best in zip(batch, losses, logits.argmax(-1).tolist(), strict=True):
            is_greedy = all(token in (IGNORED, best[at]) for at, token in enumerate(window.targets))
            found[window.document] = Said(-float(mine.double().sum()), is_greedy)
        first += len(batch)
    return found


def _continued(index: int, context: Sequence[int], said: Sequence[int], context_length: int) -> _Window:
    whole = [*context, *said][-context_length - 1 :]
    targets = [IGNORED] * (len(whole) - len(said)) + list(said)
    return _Window(index, whole[:-1], targets[-len(whole) + 1 :])


def _windows(index: int, document: ScoredTokens, context_length: int, start_id: int) -> Iterator[_Window]:
    inputs = [start_id, *document.tokens][:-1] if document.tokens else []
    counted = document.counted if document.counted is not None else [True] * len(document.tokens)
    targets = [token if counts else IGNORED for token, counts in zip(document.tokens, counted, strict=True)]
    scored = 0
    while scored < len(targets):
        start = max(0, min(scored - context_length // 2, len(targets) - context_length)) if scored else 0
        end = min(start + context_length, len(targets))
        yield _Window(index, inputs[start:end], [IGNORED] * (scored - start) + targets[scored:end])
        scored = end


def _losses_and_logits(model: PreTrainedModel, batch: Sequence[_Window]) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) nats, 0 where nothing is scored, and (B, T, V).

    Padding is on the right, where causal attention never looks from.
    """
    length = max(len(window.inputs) for window in batch)
    inputs = torch.tensor([window.inputs + [0] * (length - len(window.inputs)) for window in batch])
    targets = torch.tensor([window.targets + [IGNORED] * (length - len(window.targets)) for window in batch])
    logits = model(input_ids=inputs, use_cache=False).logits  # (B, T, V)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(targets), logits
