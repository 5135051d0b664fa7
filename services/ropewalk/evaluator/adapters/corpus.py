"""Held-out documents and training tokens as they lie in fetched folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ropewalk.corpus.document import EVAL_ITEMS, ChatMessage, read_records
from ropewalk.corpus.shards import TokenShard
from ropewalk.corpus.trained import SKETCHES, Identity, trained_on
from ropewalk.evaluator.domain.clusters import clustered
from ropewalk.evaluator.domain.ngram import NgramModel, collapse_padding, fit
from ropewalk.evaluator.domain.tasks import Item

MAX_BASELINE_TOKENS = 20_000_000  # beyond this an n-gram model gains little and costs memory


def read_items(evalset: Path, name: str = EVAL_ITEMS) -> list[Item]:
    """Every held-out document; DEV_ITEMS are those to watch a training by."""
    return clustered(
        Item(
            item_id=record["item_id"],
            path=record["path"],
            text=record.get("text", ""),
            # Every answer is scored, also one that was not to be learnt: `weight` is left out.
            turns=tuple(ChatMessage(**turn | {"weight": 1}) for turn in record.get("messages", ())),
            doc_id=record.get("doc_id", ""),
            split_key=record.get("split_key", ""),
            source_id=record.get("source_id", ""),
            rejected=record.get("rejected", ""),
        )
        for record in read_records(evalset / name)
    )


def find_seen(items: Sequence[Item], evalset: Path, dataset: Path) -> set[str]:
    """The ids of the items that the model of a dataset version learnt from. The evalset has their sketches."""
    sketches = np.load(evalset / SKETCHES) if (evalset / SKETCHES).is_file() else None
    seen = trained_on(dataset, [Identity(item.doc_id, item.item_id) for item in items], sketches)
    return {item.item_id for item, was_seen in zip(items, seen, strict=True) if was_seen}


def fit_baselines(dataset: Path, vocab_size: int) -> tuple[NgramModel, int]:
    """The n-gram models of a dataset version and the number of tokens they saw."""
    shard = TokenShard(dataset)
    tokens = collapse_padding(shard.tokens[:MAX_BASELINE_TOKENS].astype(np.int64), shard.meta.eos_id)
    # As many tokens as were read, padding not counted.
    return fit(tokens, vocab_size), len(tokens)
