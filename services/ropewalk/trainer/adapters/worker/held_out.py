"""The held-out windows whose loss is looked at while a run trains: always the same ones for a dataset and a recipe."""

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ropewalk.corpus.document import DEV_ITEMS, EVAL_ITEMS, read_records
from ropewalk.corpus.packing import Packed, pack_conversation, pack_text, padded
from ropewalk.corpus.shards import ShardMeta
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.model.linear_nats import IGNORED

_MOST_WINDOWS_EACH = 2  # so that no long document speaks for all
_MOST_CHARS_PER_TOKEN = 16


def held_out_windows(evalset: Path, tokenizer: Path, meta: ShardMeta, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, (n, C) int64 each, n at most `wanted`. Packed as the windows to learn from are.

    Of those that judge nothing, where there are any. Which come first is decided by their names, which are hashes of
    what they say.
    """
    length = meta.context_length
    tokens, mask = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    for packed in _packed(evalset, tokenizer, meta, wanted):
        tokens, mask = np.concatenate((tokens, packed.tokens)), np.concatenate((mask, packed.mask))
        if len(tokens) > wanted * length:
            break
    count = min(wanted, -(-(len(tokens) - 1) // length))
    short = max(0, count * length + 1 - len(tokens))
    tokens = np.pad(tokens, (0, short), constant_values=meta.eos_id)[: count * length + 1]
    mask = np.pad(mask, (0, short))[: count * length + 1]
    targets = np.where(mask[1:] == 1, tokens[1:], IGNORED)
    shape = (count, length)
    return torch.from_numpy(tokens[:-1].reshape(shape)), torch.from_numpy(targets.reshape(shape))


def _packed(evalset: Path, tokenizer: Path, meta: ShardMeta, wanted: int) -> Iterator[Packed]:
    encoder, length = Encoder(tokenizer), meta.context_length
    renderer: ChatRenderer | None = None
    name = DEV_ITEMS if (evalset / DEV_ITEMS).is_file() else EVAL_ITEMS
    items = read_records(evalset / name)
    for item in heapq.nsmallest(4 * wanted, items, key=lambda item: item["item_id"]):
        if messages := item.get("messages"):
            renderer = renderer or ChatRenderer(tokenizer)
            try:
                prompt = renderer.conversation(messages)
                encoded = encoder.prompt(prompt)
            except ChatTemplateError:
                continue  # the evaluation says so; here another one is as good
            mask = encoded.mask(prompt.answers)
            packed = pack_conversation(encoded.ids, mask, context_length=length)
        else:
            most = _MOST_WINDOWS_EACH * length
            packed = pack_text(encoder.text(item["text"][: _MOST_CHARS_PER_TOKEN * most])[:most], meta.eos_id)
        if packed is not None:
            yield padded(packed, eos_id=meta.eos_id, context_length=length) if meta.has_mask else packed
