"""Encodes the chosen documents of a segment and writes them as a run of packed tokens."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, write_records
from ropewalk.corpus.packing import Packed, pack_conversation, pack_text
from ropewalk.corpus.shards import PackedDocument, TokenWriter, token_dtype
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.conversation import ConversationEncoder
from ropewalk.preprocessing.adapters.culprits import naming_the_culprit
from ropewalk.preprocessing.adapters.tokenizer import TokenizerFacts

RESULT = "result.json"
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


def write_encoded(folder: Path, order: EncodeOrder, cleaned: Path, tokenizer: Path) -> dict[str, Any]:
    """tokens.bin, mask.bin, documents.jsonl.zst with starts relative to the segment, and result.json."""
    keep = set(order.keep)
    chosen = [(place, doc) for place, doc in enumerate(read_documents(cleaned / DOCUMENTS)) if place in keep]
    refused: list[tuple[int, str]] = []
    packed_documents: list[dict[str, Any]] = []
    encoder = _Encoder(order, tokenizer)
    with TokenWriter(folder, dtype=token_dtype(order.tokenizer.vocab_size), has_mask=order.has_mask) as writer:
        for first in range(0, len(chosen), _ENCODE_BATCH):
            batch = chosen[first : first + _ENCODE_BATCH]
            encoded = naming_the_culprit(encoder.encode, [document for _, document in batch])
            for (place, document), packed in zip(batch, encoded, strict=True):
                if isinstance(packed, str):
                    refused.append((place, packed))
                    continue
                start = writer.append(packed.tokens, packed.mask if order.has_mask else None)
                entry = PackedDocument(
                    doc_id=document.doc_id,
                    path=document.path,
                    source_id=document.source_id,
                    licence=document.licence,
                    start=start,
                    length=packed.length,
                )
                packed_documents.append(entry.as_record())
        num_tokens = writer.num_tokens
    write_records(folder / DOCUMENTS, packed_documents)
    result = {"num_tokens": num_tokens, "refused": refused, "refusal": encoder.conversations.refusal}
    (folder / RESULT).write_text(json.dumps(result))
    return {"num_tokens": num_tokens}


class _Encoder:
    """Encodes documents of both kinds; a refused one is the text of the reason."""

    def __init__(self, order: EncodeOrder, tokenizer: Path) -> None:
        self._order = order
        self._tokenizer = Encoder(tokenizer)
        self.conversations = ConversationEncoder(tokenizer, self._tokenizer)

    def encode(self, documents: list[Document]) -> list[Packed | str]:
        """One result per document."""
        texts = [document.text for document in documents if not document.messages]
        encoded = iter(self._tokenizer.texts(texts))
        return [
            self._pack_conversation(document) if document.messages else self._pack_text(next(encoded))
            for document in documents
        ]

    def _pack_text(self, ids: list[int]) -> Packed:
        """Beside conversations a text is padded to whole windows, so that those begin where windows begin."""
        packed = pack_text(ids, self._order.tokenizer.eos_id)
        padding = -len(packed.tokens) % self._order.context_length if self._order.has_mask else 0
        return Packed(
            tokens=np.pad(packed.tokens, (0, padding), constant_values=self._order.tokenizer.eos_id),
            mask=np.pad(packed.mask, (0, padding)),
            length=packed.length,
        )

    def _pack_conversation(self, document: Document) -> Packed | str:
        encoded = self.conversations.encode(document.messages)
        if isinstance(encoded, str):
            return encoded
        ids, mask = encoded
        order = self._order
        packed = pack_conversation(ids, mask, eos_id=order.tokenizer.eos_id, context_length=order.context_length)
        return packed or "answer_beyond_context"
