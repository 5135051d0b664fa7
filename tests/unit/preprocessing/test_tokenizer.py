"""The tokenizer encodes every text, and a dataset is refused when it is smaller than one batch."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.document import DOCUMENTS, write_records
from ropewalk.corpus.packing import pack_text
from ropewalk.corpus.shards import TokenWriter
from ropewalk.corpus.sketch import NUM_HASHES
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.dataset import Assembly, publish_dataset
from ropewalk.preprocessing.adapters.tokenizer import (
    SPECIAL_TOKENS,
    TokenizerFacts,
    bytes_per_token,
    describe,
    train_tokenizer,
)
from ropewalk.stages.errors import StageError
from ropewalk.storage.local import LocalObjects

LINES = ["def area(width, height):", "    return width * height", "for item in items:", "    total += item.price"]
TEXTS = ["\n".join(random.Random(seed).choices(LINES, k=40)) for seed in range(20)]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    train_tokenizer(TEXTS, 320, folder)
    return folder


def test_special_tokens_come_first_and_every_byte_can_be_encoded(trained: Path) -> None:
    encoder = Encoder(trained)
    assert [encoder.tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    strange = "naïve \u4e2d\u6587 \U0001f40d\t\r\n\x7f" + "".join(map(chr, range(32)))
    assert encoder.tokenizer.decode(encoder.text(strange), skip_special_tokens=False) == strange


def test_a_special_token_spelt_out_in_a_text_is_ordinary_text(trained: Path) -> None:
    encoder = Encoder(trained)
    ids = encoder.text("a <|endoftext|> b")
    assert min(ids) > 3
    assert encoder.tokenizer.decode(ids, skip_special_tokens=False) == "a <|endoftext|> b"


def test_training_twice_gives_the_same_file(trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    train_tokenizer(TEXTS, 320, again)
    assert describe(again, "u") == describe(trained, "u")
    assert describe(trained, "u").eos_id == 0
    assert describe(trained, "u").vocab_size == 306  # the texts have no more pairs to merge


def test_learnt_tokens_carry_more_than_a_byte(trained: Path) -> None:
    assert bytes_per_token(trained, TEXTS) > 3
    assert bytes_per_token(trained, ["\U0001f40d"]) == 1


def test_a_corpus_smaller_than_one_batch_stops_with_sizes_and_a_remedy(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    with TokenWriter(part, dtype="<u2", has_mask=False) as writer:
        writer.append(pack_text(list(range(5, 205)), 0).tokens)
    write_records(part / DOCUMENTS, [])
    assembly = Assembly(
        folder=tmp_path / "dataset",
        parts=[part],
        tokenizer=TokenizerFacts(uri="tokenizers/t", sha256="t", vocab_size=320, eos_id=0),
        context_length=64,
        has_mask=False,
        evalset_uri="evalsets/e",
        sketches=np.zeros((0, NUM_HASHES), dtype=np.uint8),
    )
    objects = LocalObjects(tmp_path / "objects")
    sentence = r"201 tokens after cleaning give 3 windows of 64, but a batch takes 4 \(257 tokens\): add data"
    with pytest.raises(StageError, match=sentence):
        publish_dataset(objects, assembly, [], min_windows=4)
    assert objects.list("datasets") == []
    left_out = "49 conversations template_refused (the template says: alternate)"
    with pytest.raises(StageError, match=r"201 tokens .* add data, or choose a smaller size; left out") as few:
        publish_dataset(objects, replace(assembly, folder=tmp_path / "few", left_out=left_out), [], min_windows=4)
    assert left_out in str(few.value)
    none = replace(assembly, folder=tmp_path / "none", parts=[], left_out=left_out)
    with pytest.raises(StageError, match="nothing is left to learn from: ") as nothing:
        publish_dataset(objects, none, [], min_windows=4)
    assert left_out in str(nothing.value)
    assert "smaller than one batch" not in str(nothing.value)
