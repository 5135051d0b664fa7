"""Held-out documents and training tokens as they lie in fetched folders."""

from pathlib import Path

import numpy as np

from ropewalk.corpus.document import EVAL_ITEMS, read_records
from ropewalk.corpus.shards import TokenShard
from ropewalk.evaluator.domain.excerpts import Item, Turn
from ropewalk.evaluator.domain.ngram import NgramModel, collapse_padding, fit

MAX_BASELINE_TOKENS = 20_000_000  # beyond this an n-gram model gains little and costs memory


def read_items(evalset: Path) -> list[Item]:
    """Every held-out document."""
    return [
        Item(
            item_id=record["item_id"],
            path=record["path"],
            text=record.get("text", ""),
            turns=tuple(
                Turn(turn["role"], turn["content"], turn.get("name", "")) for turn in record.get("messages", ())
            ),
        )
        for record in read_records(evalset / EVAL_ITEMS)
    ]


def _turn(message: dict[str, str]) -> Turn:
    return Turn(message["role"], message["content"], message.get("name", ""))


def fit_baselines(dataset: Path, vocab_size: int) -> tuple[NgramModel, int]:
    """The n-gram models of a dataset version and the number of tokens they saw."""
    shard = TokenShard(dataset)
    tokens = collapse_padding(shard.tokens[:MAX_BASELINE_TOKENS].astype(np.int64), shard.meta.eos_id)
    return fit(tokens, vocab_size), len(tokens)
