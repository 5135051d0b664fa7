"""Which window a training step reads: a pure function of dataset version, seed and step.

Every pass over the data is a keyed permutation of the windows, computed index by index with an alternating
(unbalanced) Feistel network and cycle walking (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
Nothing is stored and the number of workers plays no part, so a run resumes anywhere, on any world size, with
the samples it would have read: rank r of W takes `samples(step, batch)[r::W]`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8
_Words = NDArray[np.uint64]


@dataclass(frozen=True)
class SampleOrder:
    """The endless sequence of window indices of a run: one permutation of range(num_windows) after the other."""

    dataset_version: str
    seed: int
    num_windows: int

    def __post_init__(self) -> None:
        if self.num_windows < 1:
            raise ValueError(f"num_windows is {self.num_windows}: an order needs at least one window")

    def samples(self, step: int, batch_size: int) -> list[int]:
        """The windows of a step (0-based), over all workers: `batch_size` indices."""
        return self.indices(step * batch_size, batch_size)

    def indices(self, start: int, count: int) -> list[int]:
        """The windows at the places start … start + count - 1 of the endless sequence."""
        found: list[int] = []
        place, end = start, start + count
        while place < end:
            data_epoch, first = divmod(place, self.num_windows)
            num = min(end - place, self.num_windows - first)
            found += self._permute(
                np.arange(first, first + num, dtype=np.uint64), self._round_keys(data_epoch)
            ).tolist()
            place += num
        return found

    def _round_keys(self, data_epoch: int) -> _Words:
        name = f"{self.dataset_version}/{self.seed}/{data_epoch}".encode()
        return np.frombuffer(hashlib.blake2b(name, digest_size=8 * _ROUNDS).digest(), dtype="<u8").astype(np.uint64)

    def _permute(self, values: _Words, keys: _Words) -> _Words:
        """Walk each value through the network until it lands inside the domain: under two walks on average."""
        bits = (self.num_windows - 1).bit_length()
        walked = _feistel(values, keys, bits)
        while (outside := walked >= self.num_windows).any():
            walked[outside] = _feistel(walked[outside], keys, bits)
        return walked


def _feistel(values: _Words, keys: _Words, bits: int) -> _Words:
    """A permutation of range(2**bits): the halves take turns in being masked by a function of the other."""
    low_bits = np.uint64(bits - bits // 2)
    low_mask = np.uint64((1 << int(low_bits)) - 1)
    high_mask = np.uint64((1 << (bits // 2)) - 1)
    high, low = values >> low_bits, values & low_mask
    for turn in range(0, _ROUNDS, 2):
        high = high ^ (_mix(low, keys[turn : turn + 1]) & high_mask)
        low = low ^ (_mix(high, keys[turn + 1 : turn + 2]) & low_mask)
    return (high << low_bits) | low


def _mix(values: _Words, key: _Words) -> _Words:
    """splitmix64's finaliser (Steele et al., 2014), keyed; arithmetic modulo 2**64."""
    mixed = values * np.uint64(0x9E3779B97F4A7C15) + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
