"""When has a signal left its baseline? Conformal p-values, bet against by a Shiryaev-Roberts mixture.

Each value gets the rank p among the reference and everything seen so far, itself included; ties are broken at
random. As long as values and reference are exchangeable the p are independent and uniform, so each bet
f(p) = 1 + e(2p - 1) or 1 + e(2|2p - 1| - 1) has mean one, R_n = (R_{n-1} + 1) f_n minus n is a martingale, and an
alarm at mean(R) >= c comes on average after c values or more. (Vovk et al., "Testing exchangeability";
Shin, Ramdas & Rinaldo, "E-detectors".) The change is put where the best bet's product began to grow, or later, where
the newest ranks part best from the 1/2 that they had on average before.

Values are compared as bins. The bins come from one half of the baseline and the ranks from the other: bins that had
seen the reference would break the uniformity.
"""

from dataclasses import asdict, dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

_STAKES = np.array([e * sign for sign in (1, -1) for e in (0.05, 0.15, 0.4, 0.85)])
NUM_BETS = 2 * len(_STAKES)
_NUM_QUANTILES = 25
_NUM_RECENT = 128
_TAIL_STEPS = np.array([0.5, 1.0, 2.0, 4.0])

Floats = NDArray[np.float64]


def bet_factors(p: Floats | float) -> Floats:
    """What each of the 16 bets pays at p. Shape (..., 16)."""
    centred = 2 * np.asarray(p, dtype=np.float64)[..., None] - 1
    return np.concatenate([1 + _STAKES * centred, 1 + _STAKES * (2 * np.abs(centred) - 1)], axis=-1)


def bin_edges(values: Floats) -> Floats:
    """Edges from the first half of the baseline: its quantiles, and steps beyond both ends."""
    quantiles = np.quantile(values, np.linspace(0, 1, _NUM_QUANTILES))
    spread = float(quantiles[-1] - quantiles[0])
    tails = _TAIL_STEPS * spread
    return np.unique(np.concatenate([quantiles[0] - tails, quantiles, quantiles[-1] + tails]))


def bins_of(edges: Floats, values: Floats | float) -> NDArray[np.int64]:
    """Bin numbers 0 .. 2 * len(edges): odd = exactly on an edge, so that a constant signal keeps its own bin."""
    left, right = np.searchsorted(edges, values, side="left"), np.searchsorted(edges, values, side="right")
    return np.asarray(left + right, dtype=np.int64)


@dataclass(frozen=True)
class Change:
    """Where a signal began to differ: the number of the value (1 = first after the baseline), its time, and the
    mean from there on."""

    number: int
    time: str
    mean: float


@dataclass(frozen=True)
class _Split:
    """A start among the newest values, and the log-product of the bet from there on."""

    change: Change
    log_product: float

    @property
    def number(self) -> int:
        return self.change.number


@dataclass
class Detector:
    """The state for one signal. It grows with nothing: bins and bets are fixed in number."""

    threshold: float
    baseline_mean: float
    edges: list[float]
    counts: list[int]
    num_observed: int = 0
    alarmed: bool = False
    sums: list[float] = field(default_factory=lambda: [0.0] * NUM_BETS)
    products: list[float] = field(default_factory=lambda: [0.0] * NUM_BETS)
    starts: list[int] = field(default_factory=lambda: [0] * NUM_BETS)
    start_times: list[str] = field(default_factory=lambda: [""] * NUM_BETS)
    totals: list[float] = field(default_factory=lambda: [0.0] * NUM_BETS)
    recent: list[tuple[float, float, str]] = field(default_factory=list)  # rank, value, time of the newest values

    @classmethod
    def from_baseline(cls, first_half: list[float], second_half: list[float], threshold: float) -> Self:
        """Bins from the first half, reference ranks from the second. Both must have a value."""
        edges = bin_edges(np.asarray(first_half))
        counts = np.bincount(bins_of(edges, np.asarray(second_half)), minlength=2 * len(edges) + 1)
        return cls(
            threshold=threshold,
            baseline_mean=float(np.mean(second_half)),
            edges=edges.tolist(),
            counts=counts.tolist(),
        )

    @property
    def statistic(self) -> float:
        """The mean of the bets' Shiryaev-Roberts sums; an alarm at `threshold`."""
        return float(np.mean(self.sums))

    def observe(self, value: float, time: str, uniform: float) -> bool:
        """Take one value; `uniform` in [0, 1) breaks ties. True if it raises the alarm; afterwards nothing moves."""
        if self.alarmed:
            return False
        self.num_observed += 1
        rank = self._rank(value, uniform)
        self.recent = [*self.recent[1 - _NUM_RECENT :], (rank, value, time)]
        factors = bet_factors(rank)
        self.sums = ((np.asarray(self.sums) + 1) * factors).tolist()
        self._follow_products(factors, value, time)
        self.alarmed = self.statistic >= self.threshold
        return self.alarmed

    def change(self) -> Change:
        """The best estimate of where the change began, given that there was one."""
        best = int(np.argmax(self.products))
        start = self.starts[best]
        late = self._split(best)
        if late.number > start and late.log_product >= np.log(self.products[best]) / 2:
            return late.change
        return Change(start, self.start_times[best], self.totals[best] / (self.num_observed - start + 1))

    def state(self) -> dict[str, object]:
        """Everything, as JSON values."""
        return asdict(self)

    def _split(self, bet: int) -> "_Split":
        """Among the newest values, the start that maximises n (mean - 1/2)^2: a shift from a known mean."""
        ranks = np.array([rank for rank, _, _ in self.recent])
        measure = ranks if bet < len(_STAKES) else np.abs(2 * ranks - 1)
        sums, counts = np.cumsum(measure[::-1])[::-1], np.arange(len(ranks), 0, -1)
        at = int(np.argmax(counts * (sums / counts - 0.5) ** 2))
        mean = float(np.mean([value for _, value, _ in self.recent[at:]]))
        change = Change(self.num_observed - len(ranks) + at + 1, self.recent[at][2], mean)
        return _Split(change, float(np.log(bet_factors(ranks[at:])[:, bet]).sum()))

    def _rank(self, value: float, uniform: float) -> float:
        place = int(bins_of(np.asarray(self.edges), value))
        self.counts[place] += 1
        return (sum(self.counts[:place]) + uniform * self.counts[place]) / sum(self.counts)

    def _follow_products(self, factors: Floats, value: float, time: str) -> None:
        """The largest product over all starts, per bet: it restarts whenever it has fallen to one or below."""
        for bet, factor in enumerate(factors.tolist()):
            if self.products[bet] <= 1.0:
                self.starts[bet], self.start_times[bet] = self.num_observed, time
                self.products[bet], self.totals[bet] = 1.0, 0.0
            self.products[bet] *= factor
            self.totals[bet] += value
