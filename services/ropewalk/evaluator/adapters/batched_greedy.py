"""Greedy answers to many prompts of one model, in batches.

What all prompts begin with (an instruction, worked examples) is read once and its keys and values are shared by every
batch; prompts of like length go together; a row that has ended leaves its batch. The ids are those of transformers'
own greedy `generate`, up to ties within rounding.
"""

from collections.abc import Sequence, Set
from itertools import takewhile

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

_SLOTS = 16_384  # keys and values that a batch may hold: 370 MB for 30 layers of 3 heads of 64 in fp32
_MOST_ROWS = 32
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
            if held.shape[-2] < length or held.shape[0] != new.shape[0]:
                held = new.new_empty((*new.shape[:2], length + _ROOM, new.shape[-1]))
                if old:
                    held[:, :, :old] = seen  # one row of a shared beginning stands for all
                self._held[place] = held
            held[:, :, old:length] = new
        self.keys, self.values = (held[:, :, :length] for held in self._held)
        return self.keys, self.values

    def keep(self, rows: torch.Tensor) -> None:
        """Let the other rows go."""
        self._held = [held[rows] for held in self._held]
        self.keys, self.values = (held[:, :, : self.get_seq_length()] for held in self._held)

    def begin(self, other: "_RoomyLayer") -> None:
        """Begin with what another layer holds, which is not changed."""
        self.lazy_initialization(other.keys, other.values)
        self.keys, self.values = other.keys, other.values
        self._held = [other.keys, other.values]


@torch.inference_mode()
def greedy_answers(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_new: int, eos_ids: Set[int]
) -> list[list[int]]:
    """The most probable continuation of each prompt (of at least one token), at most `max_new` tokens.

    An answer that ended itself has its end token, one of `eos_ids`, as the last one.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    shared = _shared(model, prompts)
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    first = _read_once(model, list(prompts[0][:shared])) if shared else None
    while order:
        rows = max(1, min(_MOST_ROWS, _SLOTS // (len(prompts[order[0]]) + max_new)))
        batch, order = order[:rows], order[rows:]
        said = _generate(model, [prompts[place][shared:] for place in batch], first, max_new, eos_ids)
        for place, ids in zip(batch, said, strict=True):
            answers[place] = ids
    return answers


def _shared(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one of its own, whose logits are needed."""
    config = model.config.get_text_config()
    if getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True):
        return 0  # a window counts the padding between the shared part and the rest
    longest = min((len(prompt) for prompt in prompts), default=0) - 1
    alike = (len(set(column)) == 1 for column in zip(*(prompt[: max(longest, 0)] for prompt in prompts), strict=False))
    return sum(1 for _ in takewhile(bool, alike)) if len(prompts) > 1 else 0


def _read_once(model: PreTrainedModel, ids: list[int]) -> Cache:
    cache = _empty()
    model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _empty() -> Cache:
    return Cache(layer_class_to_replicate=_RoomyLayer)


def _copy_of(first: Cache | None) -> Cache:
    if first is None:
        return _empty()
    layers = []
    for layer in first.layers:
        assert isinstance(layer, _RoomyLayer)
        layers.append(_RoomyLayer())
        layers[-1].begin(layer)
    return Cache(layers=layers)


def _generate(
    model: PreTrainedModel, rests: Sequence[Sequence[int]], first: Cache | None, max_new: int, eos_ids: Set[int]
) -> list[list[int]]:
    """`rests` follow what the cache holds. Padding stands before each, so that all answers begin in one column."""
    cache = _copy_of(first)
    shared, width = cache.get_seq_length(), max(len(rest) for rest in rests)
    padding = [width - len(rest) for rest in rests]
    tokens = torch.tensor([[0] * pad + list(rest) for pad, rest in zip(padding, rests, strict=True)])  # (B, width)
    mask = torch.tensor([[1] * shared + [0] * pad + [1] * (width - pad) for pad in padding])  # (B, shared + width)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
    said: list[list[int]] = [[] for _ in rests]
    living = list(range(len(rests)))  # of the rows of `tokens`
    while True:
        logits = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits  # (B, 1, V)
        tokens = logits[:, -1].argmax(-1, keepdim=True)  # (B, 1)
        for row, token in zip(living, tokens[:, 0].tolist(), strict=True):
            said[row].append(token)
        going = [at for at, row in enumerate(living) if said[row][-1] not in eos_ids and len(said[row]) < max_new]
        if not going:
            return said
        positions = positions[:, -1:] + 1
        if len(going) < len(living):
            kept = torch.tensor(going)
            living = [living[at] for at in going]
            tokens, mask, positions = tokens[kept], mask[kept], positions[kept]
            for layer in cache.layers:
                assert isinstance(layer, _RoomyLayer)
                layer.keep(kept)
        mask = torch.cat([mask, mask.new_ones((len(living), 1))], dim=1)
