"""What every strategy is asked to do with the gradients of a step."""

import pytest

from ropewalk.trainer.adapters.worker.strategy import apply_clipped


class Recorded:
    """A strategy that only keeps what it was asked to apply."""

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        self.asked = (gradient_factor, rate_scale)


@pytest.mark.parametrize(
    ("norm", "limit", "factor"),
    [(4.0, 1.0, 0.25), (4.0, 2.0, 0.5), (1.0, 1.0, 1.0), (0.5, 1.0, 1.0), (0.0, 1.0, 1.0)],
)
def test_long_gradients_are_cut_to_the_limit_and_short_ones_stay(norm: float, limit: float, factor: float) -> None:
    strategy = Recorded()
    apply_clipped(strategy, norm=norm, limit=limit, rate_scale=0.7)
    assert strategy.asked == (factor, 0.7)
