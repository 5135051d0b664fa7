"""Greedy answers to many prompts of one model, in batches.

What all prompts begin with (an instruction, worked examples) is read once and kept once; prompts of like length go
together; a row that has ended leaves its batch. The ids are those of transformers' own greedy `generate`, up to ties
within rounding.
"""

import math
import time
from collections.abc import Callable, Sequence, Set
from itertools import takewhile

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from ropewalk.evaluator.adapters.shared_beginning import Beginning, can_share

MOST_ROWS = 64  # of a batch
SLOTS = 16_384  # keys and values that a batch may hold: 370 MB for 30 layers of 3 heads of 64 in fp32
_ROOM = 64  # places that a cache grows by at once


class _RoomyLayer(DynamicLayer):
    """Keys and values (B, H, T, D) in place: transformers' own layer copies all of them for every new token."""

    keys: torch.Tensor
    values: torch.Tensor
    _held: list[torch.Tensor]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and give back views of the whole."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._held = [key_states[:, :, :0], value_states[:, :, :0]]
        old = self.get_seq_length()
        length = old + key_states.shape[-2]
        for place, (new, seen) in enumerate(((key_states, self.keys), (value_states, self.values))):
            held = self._held[place]
            if held.shape[-2] < length:
                held = new.new_empty((*new.shape[:2], length + _ROOM, new.shape[-1]))
                if old:
                    held[:, :, :old] = seen
                self._held[place] = held
            held[:, :, old:length] = new
        self.keys, self.values = (held[:, :, :length] for held in self._held)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row so many times."""
        self._held = [held.repeat_interleave(repeats, 0) for held in self._held]
        self.keys, self.values = (held[:, :, : self.get_seq_length()] for held in self._held)

    def keep(self, rows: torch.Tensor) -> None:
        """Let the other rows go."""
        self._held = [held[rows] for held in self._held]
        self.keys, self.values = (held[:, :, : self.get_seq_length()] for held in self._held)


class GreedyAnswers:
    """Of one model to prompts of at least one token each, whose common beginning is read here.

    An answer has at most `max_new` tokens; one that ended itself has its end token, one of `eos_ids`, as the last one.
    """

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_new: int, eos_ids: Set[int]
    ) -> None:
        self._model, self._max_new, self._eos_ids = model, max_new, eos_ids
        shared = _shared(prompts) if can_share(model) else 0
        self._beginning = _read(model, prompts[0][:shared]) if shared else None

    @torch.inference_mode()
    def to(
        self,
        prompts: Sequence[Sequence[int]],
        until: float = math.inf,
        on_ended: Callable[[int], None] = lambda _: None,
    ) -> list[list[int]]:
        """The most probable continuation of some of the prompts; `on_ended` is told how many more have ended.

        Raises TimeoutError at the first token after `until`, in seconds of the monotonic clock.
        """
        answers: list[list[int]] = [[] for _ in prompts]
        shared = self._beginning.length if self._beginning else 0
        order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
        while order:
            rows = max(1, min(MOST_ROWS, SLOTS // (len(prompts[order[0]]) - shared + self._max_new)))
            batch, order = order[:rows], order[rows:]
            said = self._generate([prompts[place][shared:] for place in batch], until, on_ended)
            for place, ids in zip(batch, said, strict=True):
                answers[place] = ids
        return answers

    def _generate(
        self, rests: Sequence[Sequence[int]], until: float, on_ended: Callable[[int], None]
    ) -> list[list[int]]:
        """`rests` follow the beginning. Padding stands before each, so that all answers begin in one column."""
        cache, shared = new_cache(), self._beginning.length if self._beginning else 0
        width = max(len(rest) for rest in rests)
        padding = [width - len(rest) for rest in rests]
        tokens = torch.tensor([[0] * pad + list(rest) for pad, rest in zip(padding, rests, strict=True)])  # (B, width)
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])  # (B, width)
        positions = shared + (mask.cumsum(-1) - 1).clamp(min=0)
        said: list[list[int]] = [[] for _ in rests]
        living = list(range(len(rests)))  # of the rows of `tokens`
        while True:
            tokens = self._next(tokens, mask, positions, cache)
            for row, token in zip(living, tokens[:, 0].tolist(), strict=True):
                said[row].append(token)
            going = [at for at, row in enumerate(living) if self._goes_on(said[row])]
            if len(going) < len(living):
                on_ended(len(living) - len(going))
            if not going:
                return said
            if time.monotonic() > until:
                raise TimeoutError("the answers were not complete in time")
            positions = positions[:, -1:] + 1
            if len(going) < len(living):
                kept = torch.tensor(going)
                living = [living[at] for at in going]
                tokens, mask, positions = tokens[kept], mask[kept], positions[kept]
                for layer in cache.layers:
                    assert isinstance(layer, _RoomyLayer)
                    layer.keep(kept)
            mask = torch.cat([mask, mask.new_ones((len(living), 1))], dim=1)

    def _next(self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Cache) -> torch.Tensor:
        """The likeliest token of every row, (B, 1)."""
        told = {"beginning": self._beginning} if self._beginning else {}
        logits = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **told,
        ).logits  # (B, 1, V)
        best: torch.Tensor = logits[:, -1].argmax(-1, keepdim=True)
        return best

    def _goes_on(self, said: list[int]) -> bool:
        return said[-1] not in self._eos_ids and len(said) < self._max_new


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one of its own, whose logits are needed."""
    longest = min((len(prompt) for prompt in prompts), default=0) - 1
    alike = (len(set(column)) == 1 for column in zip(*(prompt[: max(longest, 0)] for prompt in prompts), strict=False))
    return sum(1 for _ in takewhile(bool, alike)) if len(prompts) > 1 else 0


@torch.inference_mode()
def _read(model: PreTrainedModel, ids: Sequence[int]) -> Beginning:
    cache = new_cache()
    model(input_ids=torch.tensor([list(ids)]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers = [layer for layer in cache.layers if isinstance(layer, _RoomyLayer)]
    return Beginning(len(ids), tuple((layer.keys, layer.values) for layer in layers))


def new_cache() -> Cache:
    """Empty, of the kind that grows in place."""
    return Cache(layer_class_to_replicate=_RoomyLayer)
