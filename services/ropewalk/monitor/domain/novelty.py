"""How unlike the baseline's prompts a prompt is: bits per byte under a byte bigram model of the baseline."""

import base64
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

_BACKOFF = 4.0  # pseudo-count with which the bigram falls back to the unigram
_UNIGRAM_PRIOR = 0.5
MAX_BYTES = 4096  # a longer prompt is judged by its end, which is what the model continues


@dataclass(frozen=True)
class ByteBigrams:
    """Counts of byte pairs, shape (256, 256): row = the byte before, column = the byte."""

    counts: NDArray[np.int32]

    @classmethod
    def of(cls, texts: list[str]) -> Self:
        """Count the pairs of all texts."""
        counts = np.zeros((256, 256), dtype=np.int32)
        for text in texts:
            before, after = _pairs(text)
            np.add.at(counts, (before, after), 1)
        return cls(counts)

    def without(self, text: str) -> "ByteBigrams":
        """The model as if `text`, one of its texts, had not been counted."""
        return ByteBigrams(self.counts - ByteBigrams.of([text]).counts)

    def bits_per_byte(self, text: str) -> float:
        """Mean -log2 p(byte | byte before) over the text; 0 for texts shorter than two bytes."""
        before, after = _pairs(text)
        if not len(after):
            return 0.0
        return float(self._bits.take(before.astype(np.int32) * 256 + after).mean(dtype=np.float64))

    @cached_property
    def _bits(self) -> NDArray[np.float32]:
        """-log2 p of every pair, flat."""
        rows, columns = self.counts.sum(axis=1)[:, None], self.counts.sum(axis=0)
        unigram = (columns + _UNIGRAM_PRIOR) / (columns.sum() + 256 * _UNIGRAM_PRIOR)
        return -np.log2((self.counts + _BACKOFF * unigram) / (rows + _BACKOFF)).ravel().astype(np.float32)

    def packed(self) -> str:
        """The counts as text, for a snapshot."""
        return base64.b64encode(zlib.compress(self.counts.astype("<i8").tobytes())).decode()

    @classmethod
    def unpacked(cls, text: str) -> Self:
        """The inverse of `packed`."""
        raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<i8")
        return cls(raw.reshape(256, 256).astype(np.int32))


def _pairs(text: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    data = np.frombuffer(text.encode("utf-8", "replace")[-MAX_BYTES:], dtype=np.uint8)
    return data[:-1], data[1:]
