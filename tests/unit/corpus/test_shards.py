"""Windows come back as they were written, for texts and for conversations."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.document import DOCUMENTS, ChatMessage, Document, content_id, read_documents, write_documents
from ropewalk.corpus.document import write_records as write_rows
from ropewalk.corpus.packing import count_windows, pack_conversation, pack_text, padded, share_windows
from ropewalk.corpus.shards import UNIGRAM, PackedDocument, ShardMeta, TokenShard, TokenWriter, token_dtype
from ropewalk.storage.manifest import ManifestError, seal


def a_shard(folder: Path, tokens: list[int], *, context_length: int, mask: list[int] | None = None) -> TokenShard:
    folder.mkdir()
    with TokenWriter(folder, dtype="<u2", has_mask=mask is not None) as writer:
        half = len(tokens) // 2
        for part in (slice(0, half), slice(half, None)):
            writer.append(np.array(tokens[part]), None if mask is None else np.array(mask[part]))
    write_rows(
        folder / DOCUMENTS,
        [PackedDocument(doc_id="d", path="p", source_id="s", licence="MIT", start=0, length=len(tokens)).as_record()],
    )
    (folder / UNIGRAM).write_text(json.dumps({"counts": np.bincount(tokens).tolist()}))
    meta = ShardMeta(
        dataset_version="v",
        tokenizer_uri="tokenizers/t",
        context_length=context_length,
        num_tokens=len(tokens),
        num_windows=count_windows(len(tokens), context_length),
        dtype="<u2",
        has_mask=mask is not None,
        eos_id=0,
    )
    seal(folder, meta.as_json())
    return TokenShard(folder)


def test_windows_follow_each_other_and_targets_are_one_place_on(tmp_path: Path) -> None:
    shard = a_shard(tmp_path / "d", list(range(10)), context_length=4)
    assert shard.num_windows == 2
    assert shard.window(1).inputs.tolist() == [4, 5, 6, 7]
    assert shard.window(1).targets.tolist() == [5, 6, 7, 8]
    assert shard.window(0).mask.all()
    assert shard.window(0).inputs.dtype == np.int64
    assert shard.unigram().sum() == 10
    assert [document.length for document in shard.documents()] == [10]


def test_the_mask_belongs_to_the_targets(tmp_path: Path) -> None:
    shard = a_shard(tmp_path / "d", [5, 6, 7, 0, 0], context_length=4, mask=[0, 0, 1, 1, 0])
    assert shard.window(0).targets.tolist() == [6, 7, 0, 0]
    assert shard.window(0).mask.tolist() == [False, True, True, False]


def test_a_window_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    shard = a_shard(tmp_path / "d", list(range(10)), context_length=4)
    with pytest.raises(IndexError, match="window 2 of a dataset with 2"):
        shard.window(2)


def test_an_unsealed_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="never completed"):
        TokenShard(tmp_path)


def test_a_text_is_packed_with_its_end_token() -> None:
    packed = pack_text([7, 8], eos_id=0)
    assert packed.tokens.tolist() == [7, 8, 0]
    assert packed.length == 3


def test_a_conversation_fills_one_window_and_padding_does_not_count() -> None:
    packed = pack_conversation([1, 9, 2, 8, 0], [0, 0, 0, 1, 1], context_length=8)
    assert packed is not None
    packed = padded(packed, eos_id=0, context_length=8)
    assert packed.tokens.tolist() == [1, 9, 2, 8, 0, 0, 0, 0]
    assert packed.mask.tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert packed.length == 5


def test_a_conversation_whose_answer_begins_beyond_the_window_is_refused() -> None:
    assert pack_conversation([1, 9, 9, 9, 2, 8, 0], [0, 0, 0, 0, 0, 1, 1], context_length=4) is None


def test_conversations_that_share_windows_lie_in_one_each_and_leave_little_room() -> None:
    assert share_windows([5, 3, 8, 2, 5, 1], 8) == [[2], [0, 1], [4, 3, 5]]
    lengths = np.random.default_rng(3).integers(5, 120, 1000).tolist()
    windows = share_windows(lengths, 256)
    assert sorted(place for window in windows for place in window) == list(range(1000))
    assert all(sum(lengths[place] for place in window) <= 256 for window in windows)
    assert sum(lengths) / (256 * len(windows)) > 0.99


def test_the_place_of_a_token_counts_from_the_begin_of_its_document_or_of_the_window(tmp_path: Path) -> None:
    shard = a_shard(tmp_path / "d", list(range(9)), context_length=4)
    document = next(shard.documents())
    records = (dataclasses.replace(document, start=start).as_record() for start in (0, 3, 6))
    write_rows(shard.folder / DOCUMENTS, records)
    assert [shard.positions(index).tolist() for index in (0, 1)] == [[0, 1, 2, 0], [0, 1, 0, 1]]


def test_large_vocabularies_take_four_bytes() -> None:
    assert token_dtype(65_536) == "<u2"
    assert token_dtype(65_537) == "<u4"


def test_documents_survive_the_file(tmp_path: Path) -> None:
    text = Document(
        doc_id=content_id(b"x"),
        source_id="s",
        path="a.py",
        licence="MIT",
        fetched_at="t",
        num_bytes=1,
        text="x\u2028ü\n",
    )
    chat = Document(
        doc_id=content_id(b"y"),
        source_id="s",
        path="b.jsonl#1",
        licence="MIT",
        fetched_at="t",
        num_bytes=1,
        messages=(ChatMessage(role="user", content="hi"), ChatMessage(role="assistant", content="ho")),
    )
    assert write_documents(tmp_path / "one", [text, chat]) == 2
    write_documents(tmp_path / "two", [text, chat])
    assert list(read_documents(tmp_path / "one")) == [text, chat]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
