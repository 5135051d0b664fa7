"""A forecast number with the bounds of its interval."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Expected:
    """`low` to `high` hold the outcome in nine cases of ten, if the model behind the number is right."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Expected":
        """In another unit."""
        return Expected(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def covers(self, outcome: float) -> bool:
        """Whether an outcome is within the bounds."""
        return self.low <= outcome <= self.high
