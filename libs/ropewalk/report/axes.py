"""Round numbers for the ticks of an axis."""

import math
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A linear map from [low, high] in data to [begin, end] in pixels."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.begin + share * (self.end - self.begin)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About that many multiples of a round step inside [low, high]."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    # A hair below the rough step still counts: 0.1 has no exact binary form.
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_label(value: float) -> str:
    """`1,200` or `2.5`, never `2.50`."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:g}"
