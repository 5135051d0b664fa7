"""What another model said of the answers in a dataset version, beside its tokens.

    reference-ids.bin       uint32 (n, k): tokens that it weighed
    reference-logprobs.bin  float32 (n, k + 1): their log-probabilities, and that of all other tokens together

Row i belongs to the i-th token that counts. Which tokens are named (its k likeliest, or the answer's own) is
the training's objective.
"""

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

IDS = "reference-ids.bin"
LOGPROBS = "reference-logprobs.bin"


class ReferenceRows(NamedTuple):
    """`ids` (n, k) uint32 and `logprobs` (n, k + 1) fp32 of n tokens."""

    ids: NDArray[np.uint32]
    logprobs: NDArray[np.float32]


class References:
    """Read access to the rows of a dataset version's windows."""

    def __init__(self, folder: Path, mask: NDArray[Any], context_length: int) -> None:
        """Raises OSError where the folder has none."""
        self._mask, self._length = mask, context_length
        flat = np.memmap(folder / IDS, dtype=np.uint32, mode="r")
        self._ids = flat.reshape(self._firsts[-1], -1)
        self._logprobs = np.memmap(folder / LOGPROBS, dtype=np.float32, mode="r").reshape(self._firsts[-1], -1)

    def window(self, index: int) -> ReferenceRows:
        """Of all targets of a window: (C, k) and (C, k + 1). What does not count is 0 and -inf."""
        length = self._length
        told = self._mask[index * length + 1 : (index + 1) * length + 1] != 0
        first = self._firsts[index] + (self._mask[index * length] != 0)
        rows = slice(first, first + np.count_nonzero(told))
        ids = np.zeros((length, self._ids.shape[1]), dtype=np.uint32)
        logprobs = np.full((length, self._logprobs.shape[1]), -np.inf, dtype=np.float32)
        ids[told], logprobs[told] = self._ids[rows], self._logprobs[rows]
        return ReferenceRows(ids, logprobs)

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """How many rows lie before each window, and in all."""
        blocks = range(0, len(self._mask), self._length)
        counts = [np.count_nonzero(self._mask[first : first + self._length]) for first in blocks]
        return np.cumsum([0, *counts])


class ReferenceWriter:
    """Appends rows to the files of a folder. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.num_rows = 0
        self._files = (folder / IDS).open("wb"), (folder / LOGPROBS).open("wb")

    def append(self, rows: ReferenceRows) -> None:
        """Add the rows of a document."""
        self.num_rows += len(rows.ids)
        for file, values, dtype in zip(self._files, rows, (np.uint32, np.float32), strict=True):
            file.write(values.astype(dtype, copy=False).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
