"""Encodes the chosen documents of a segment and writes them as a run of packed tokens."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ropewalk.corpus.document import DOCUMENTS, ChatMessage, Document, read_documents, write_records
from ropewalk.corpus.packing import Packed, pack_conversation, pack_pair, pack_text, padded, share_windows
from ropewalk.corpus.shards import PackedDocument, TokenWriter, token_dtype
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.conversation import ConversationEncoder
from ropewalk.preprocessing.adapters.culprits import naming_the_culprit
from ropewalk.preprocessing.adapters.tokenizer import TokenizerFacts

RESULT = "result.json"
LENGTH_STEP = 64  # tokens
_ENCODE_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class EncodeOrder:
    """Which documents (places in the segment) to encode, and how."""

    cleaned_uri: str
    keep: tuple[int, ...]
    tokenizer: TokenizerFacts
    context_length: int
    has_mask: bool
    prefix: str
    learns_preference: bool = False  # then every document has two answers
    shares_windows: bool = False  # conversations do, as attention will not leave them


def write_encoded(folder: Path, order: EncodeOrder, cleaned: Path, tokenizer: Path) -> dict[str, Any]:
    """tokens.bin, mask.bin, documents.jsonl.zst with starts relative to the segment, and result.json."""
    keep = set(order.keep)
    chosen = [(place, doc) for place, doc in enumerate(read_documents(cleaned / DOCUMENTS)) if place in keep]
    refused: list[tuple[int, str]] = []
    kept_back: list[tuple[Document, Packed]] = []
    encoder, writing = _Encoder(order, tokenizer), _Writing(order)
    with TokenWriter(folder, dtype=token_dtype(order.tokenizer.vocab_size), has_mask=order.has_mask) as writer:
        for first in range(0, len(chosen), _ENCODE_BATCH):
            batch = chosen[first : first + _ENCODE_BATCH]
            encoded = naming_the_culprit(encoder.encode, [document for _, document in batch])
            for (place, document), packed in zip(batch, encoded, strict=True):
                if isinstance(packed, str):
                    refused.append((place, packed))
                elif order.shares_windows and document.messages:
                    kept_back.append((document, packed))
                else:
                    writing.whole(writer, document, packed)
        writing.together(writer, kept_back)
        num_tokens = writer.num_tokens
    write_records(folder / DOCUMENTS, writing.records)
    facts = {"num_tokens": num_tokens, "num_documents": len(writing.records)}
    lengths = {"num_cut": encoder.num_cut, "lengths": encoder.lengths}
    result = {**facts, **lengths, "refused": refused, "refusal": encoder.conversations.refusal}
    (folder / RESULT).write_text(json.dumps(result))
    return facts


class _Writing:
    """Puts documents at their places. Beside conversations all begin where windows begin, or where one has room."""

    def __init__(self, order: EncodeOrder) -> None:
        self._order = order
        self.records: list[dict[str, Any]] = []

    def whole(self, writer: TokenWriter, document: Document, packed: Packed) -> None:
        """A document that shares its windows with nothing, or, where all is text, with whatever comes next."""
        if self._order.has_mask:
            packed = padded(packed, eos_id=self._order.tokenizer.eos_id, context_length=self._order.context_length)
        self._append(writer, document, packed)

    def together(self, writer: TokenWriter, conversations: list[tuple[Document, Packed]]) -> None:
        """As many in a window as there is room for."""
        lengths = [packed.length for _, packed in conversations]
        for window in share_windows(lengths, self._order.context_length):
            for place in window[:-1]:
                self._append(writer, *conversations[place])
            used = sum(lengths[place] for place in window[:-1])
            document, last = conversations[window[-1]]
            room = self._order.context_length - used
            last = padded(last, eos_id=self._order.tokenizer.eos_id, context_length=room)
            self._append(writer, document, last)

    def _append(self, writer: TokenWriter, document: Document, packed: Packed) -> None:
        start = writer.append(packed.tokens, packed.mask if self._order.has_mask else None)
        ends = [packed.second, packed.length] if packed.second else [packed.length]
        for begin, end in pairwise([0, *ends]):
            entry = PackedDocument(
                doc_id=document.doc_id,
                path=document.path,
                source_id=document.source_id,
                licence=document.licence,
                start=start + begin,
                length=end - begin,
                source=document.source,
            )
            self.records.append(entry.as_record())


class _Encoder:
    """Encodes documents of both kinds; a refused one is the text of the reason."""

    def __init__(self, order: EncodeOrder, tokenizer: Path) -> None:
        self._order = order
        self._tokenizer = Encoder(tokenizer)
        self.conversations = ConversationEncoder(tokenizer, self._tokenizer)
        self.num_cut, self.lengths = 0, Counter[int]()  # conversations: beyond the window; by length, rounded up

    def encode(self, documents: list[Document]) -> list[Packed | str]:
        """One result per document."""
        texts = [document.text for document in documents if not document.messages]
        encoded = iter(self._tokenizer.texts(texts))
        return [
            self._pack_messages(document)
            if document.messages
            else pack_text(next(encoded), self._order.tokenizer.eos_id)
            for document in documents
        ]

    def _pack_messages(self, document: Document) -> Packed | str:
        if self._order.learns_preference and not document.rejected:
            return "no_rejected_answer"  # or its neighbours' answers would be compared
        chosen = self._pack_conversation(document.messages)
        if not document.rejected or isinstance(chosen, str):
            return chosen
        last = replace(document.messages[-1], content=document.rejected)
        rejected = self._pack_conversation((*document.messages[:-1], last))
        if isinstance(rejected, str):
            return rejected
        pair = pack_pair(chosen, rejected)  # one that was cut fills the window, so that no pair with it fits
        return pair if pair.length <= self._order.context_length else "pair_beyond_context"

    def _pack_conversation(self, messages: tuple[ChatMessage, ...]) -> Packed | str:
        encoded = self.conversations.encode(messages)
        if isinstance(encoded, str):
            return encoded
        ids, mask = encoded
        self.num_cut += len(ids) > self._order.context_length
        self.lengths[-(-len(ids) // LENGTH_STEP) * LENGTH_STEP] += 1
        packed = pack_conversation(ids, mask, context_length=self._order.context_length)
        return packed or "answer_beyond_context"
