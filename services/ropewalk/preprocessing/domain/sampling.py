"""Which part of the kept documents the tokenizer is trained on."""

import hashlib
from dataclasses import dataclass

_BUDGET_CHARS = 100_000_000  # about a minute of BPE training on one core
_MIN_CUT_CHARS = 10_000  # nanochat's cap per document, so that no long one dominates a large corpus


@dataclass(frozen=True, kw_only=True)
class TokenizerSample:
    """All of a small corpus; of a large one the beginnings of documents chosen by hash, about 100 M characters."""

    num_documents: int
    num_bytes: int

    @property
    def cut_chars(self) -> int:
        """How much of one document is taken."""
        return max(_MIN_CUT_CHARS, _BUDGET_CHARS // max(1, self.num_documents))

    def takes(self, doc_id: str) -> bool:
        """Whether the document is part of the sample."""
        share = _BUDGET_CHARS / max(1, min(self.num_bytes, self.num_documents * self.cut_chars))
        return int(hashlib.sha256(doc_id.encode()).hexdigest()[:13], 16) < share * 16**13
