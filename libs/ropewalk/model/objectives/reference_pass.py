"""Asks a model about the answers in encoded conversations, once, before another one learns from what it said."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from ropewalk.model.objectives.objective import logprobs_of

_TOKENS = 2048  # at a time: the logits of a large vocabulary take 200 KB each
Said = tuple[NDArray[np.uint32], NDArray[np.float32]]  # ids (n, k) and logprobs (n, k + 1) of n answer tokens


@dataclass(frozen=True, kw_only=True)
class Asking:
    """`top` > 0: about its likeliest tokens, softened by the temperature; 0: about the answer's own token alone."""

    top: int
    temperature: float = 1.0


@dataclass(frozen=True)
class Lesson:
    """A conversation's tokens, and which of them answer: both (n,). The first token never does."""

    ids: Sequence[int]
    answers: Sequence[int]

    @property
    def first(self) -> int:
        """The place of the first token of an answer."""
        return list(self.answers).index(1)


@torch.inference_mode()
def ask(model: PreTrainedModel, lessons: Sequence[Lesson], asking: Asking) -> list[Said]:
    """What the model says before each token of the answers, in their order.

    What all conversations begin with, such as an instruction, is read once.
    """
    shared, cache = read_shared(model, [lesson.ids[: lesson.first - 1] for lesson in lessons])
    said: dict[int, Said] = {}
    order = sorted(range(len(lessons)), key=lambda place: (len(lessons[place].ids), place))
    while order:
        longest = (len(lessons[place].ids) - len(shared) for place in order)  # of those before it, as they are sorted
        count = sum(number * length <= _TOKENS for number, length in enumerate(longest, 1))
        places, order = order[: max(1, count)], order[max(1, count) :]
        answers = _ask_batch(model, [lessons[place] for place in places], (len(shared), cache), asking)
        said.update(zip(places, answers, strict=True))
    return [said[place] for place in range(len(lessons))]


def _ask_batch(
    model: PreTrainedModel, lessons: Sequence[Lesson], before: tuple[int, object], asking: Asking
) -> Iterator[Said]:
    """Padding is on the right, where causal attention never looks from."""
    begin, cache = before
    length = max(len(lesson.ids) for lesson in lessons)
    tokens = torch.tensor([[*lesson.ids[begin:], *[0] * (length - len(lesson.ids))] for lesson in lessons])
    first = min(lesson.first for lesson in lessons) - 1  # the logits before it are not needed
    given: dict[str, Any] = {"logits_to_keep": length - first}
    if cache is not None:
        own = copy.deepcopy(cache)  # the model appends to it
        own.batch_repeat_interleave(len(lessons))  # type: ignore[attr-defined]  # a cache of transformers
        given["past_key_values"] = own
    logits = model(input_ids=tokens, use_cache=cache is not None, **given).logits
    for row, lesson in zip(logits, lessons, strict=True):
        places = torch.tensor(lesson.answers).nonzero()[:, 0]
        told = row[places - 1 - first].float() / asking.temperature
        top = min(asking.top, told.shape[-1])
        ids = told.topk(top).indices if top else torch.tensor(lesson.ids)[places][:, None]
        yield ids.numpy().astype(np.uint32), logprobs_of(told, ids).numpy()


@torch.inference_mode()
def read_shared(model: PreTrainedModel, beginnings: Sequence[Sequence[int]]) -> tuple[list[int], Any]:
    """What all begin with, and the model's keys and values of it; None: it is nothing."""
    shared = _shared(beginnings) if beginnings else []
    if not shared:
        return [], None
    return shared, model(input_ids=torch.tensor([shared]), use_cache=True, logits_to_keep=1).past_key_values


def _shared(beginnings: Sequence[Sequence[int]]) -> list[int]:
    """What all begin with: what the first and the last in order share."""
    first, last = min(map(list, beginnings)), max(map(list, beginnings))
    count = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[: min(count, len(last))]
