"""Which loss a pretraining will reach: bits per byte = E + A / N^a + B / D^b (Hoffmann et al. 2022, arXiv 2203.15556).

N is the number of weights without the input embedding, D the bytes of text read. Per byte, because only so do losses
of two vocabularies compare. Fitted to our own short trainings on Python source (`benchmarks/training/quote.py law`
prints `fitted_law.py` from `benchmarks/results/training_proxies.json`); the spread is a bootstrap over them. Trainings
that short do not tell the floor E: every fit of the bootstrap has another one, between 0.3 and 1 bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import quantiles

from ropewalk.recipes.expected import Expected
from ropewalk.recipes.fitted_law import BYTES_PER_TOKEN, FITTED_ON, LAWS, RESIDUAL
from ropewalk.recipes.model_shape import ModelShape

_WORTH_OF_REPEATS = 15.4  # passes after which reading again teaches little (Muennighoff et al. 2023, arXiv 2305.16264)
_PER_DECADE = 1.0  # the misfit counts so many times more for each factor of ten beyond the fit; a judgement
_OTHER_TEXT = 0.15  # of the loss: prose and code of one vocabulary differ by about this; a judgement
_90_PERCENT = 1.76  # Student, of the fourteen degrees of freedom that the fit leaves
_SEEDS = 0.008  # of the loss, between seeds: benchmarks/results/training_search_curves.json, tiny at factor 1


@dataclass(frozen=True)
class Law:
    """One fit."""

    floor: float
    weights: float
    weights_power: float
    bytes: float
    bytes_power: float

    def bits_per_byte(self, num_weights: float, num_bytes: float) -> float:
        """The expected loss of a model of so many counted weights after so many bytes."""
        return self.floor + self.weights / num_weights**self.weights_power + self.bytes / num_bytes**self.bytes_power


def expected_bits(shape: ModelShape, num_bytes: float, num_unique: float = 0.0, *, same_text: bool = False) -> Expected:
    """The bits per byte after reading `num_bytes` of a text that has `num_unique` (0: it is without end).

    `same_text`: it is the very text that the law was fitted on.
    """
    weights, read = counted_weights(shape), worth(num_bytes, num_unique)
    found = [Law(*numbers).bits_per_byte(weights, read) for numbers in LAWS]
    value = found[0]  # the fit to all
    cuts = quantiles(found, n=20)
    wider = 1 + _PER_DECADE * _decades_beyond({"weights": weights, "bytes": read})
    other = 0.0 if same_text else _OTHER_TEXT * value
    low, high = (
        math.hypot(max(0.0, gap), _90_PERCENT * math.hypot(RESIDUAL, _SEEDS) * value * wider, other)
        for gap in (value - cuts[0], cuts[-1] - value)
    )
    return Expected(value=value, low=max(0.0, value - low), high=value + high)


def counted_weights(shape: ModelShape) -> int:
    """Those that the law counts."""
    return shape.num_weights - shape.vocab_size * shape.hidden_size


def worth(num_bytes: float, num_unique: float) -> float:
    """Fresh text that teaches as much as `num_bytes` read from `num_unique` (0: all is fresh)."""
    if not num_unique or num_bytes <= num_unique:
        return num_bytes
    repeats = num_bytes / num_unique - 1
    return num_unique * (1 + _WORTH_OF_REPEATS * (1 - math.exp(-repeats / _WORTH_OF_REPEATS)))


def bytes_per_token_of(vocab_size: int) -> float:
    """How much Python source a token of such a vocabulary carries: a straight line over its logarithm."""
    (small, low), (large, high) = sorted(BYTES_PER_TOKEN.items())
    return low + (high - low) * math.log(vocab_size / small) / math.log(large / small)


def _decades_beyond(asked: Mapping[str, float]) -> float:
    """How far outside of the fit, in factors of ten, all directions added."""
    decades = 0.0
    for name, (low, high) in FITTED_ON.items():
        decades += max(0.0, math.log10(asked[name] / high), math.log10(low / asked[name]))
    return decades
