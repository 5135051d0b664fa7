"""When has a signal left its baseline? Conformal p-values, bet against by a Shiryaev-Roberts mixture.

Each value gets the rank p among the reference and everything seen so far, itself included; ties are broken at
random. As long as values and reference are exchangeable the p are independent and uniform, so each bet
f(p) = 1 + e(2p - 1) or 1 + e(2|2p - 1| - 1) has mean one, R_n = (R_{n-1} + 1) f_n minus n is a martingale, and an
alarm at mean(R) >= c comes on average after c values or more. (Vovk et al., "Testing exchangeability";
Shin, Ramdas & Rinaldo, "E-detectors".) The change is put where the best bet's product began to grow, or later, where
the newest ranks part best from the 1/2 that they had on average before.

Values are compared as bins. The bins come from one half of the baseline and the ranks from the other: bins that had
seen the reference would break the uniformity.

Many values are taken at once because numpy is slow on one. Sums, products and totals are still built value by value,
so where the values are cut into blocks changes no bit of the state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_STAKES = np.array([e * sign for sign in (1, -1) for e in (0.05, 0.15, 0.4, 0.85)])
NUM_BETS = 2 * len(_STAKES)
_NUM_QUANTILES = 25
_NUM_RECENT = 128
_BLOCK = 256  # values; what is won on the longest lucky streak stays far from the largest number
_TAIL_STEPS = np.array([0.5, 1.0, 2.0, 4.0])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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


def bins_of(edges: Floats, values: Floats | float) -> Ints:
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
class _Course:
    """What the bets did on a block of values. Shapes (values, 16), but `ranks`, `places` (values,)."""

    ranks: Floats
    places: Ints
    sums: Floats
    products: Floats


def _zeros() -> Floats:
    return np.zeros(NUM_BETS)


@dataclass
class Detector:
    """The state for one signal. It grows with nothing: bins, bets and newest values are fixed in number."""

    threshold: float
    baseline_mean: float
    edges: Floats
    counts: Ints
    num_observed: int = 0
    alarmed: bool = False
    total: float = 0.0  # of all values observed
    sums: Floats = field(default_factory=_zeros)
    products: Floats = field(default_factory=_zeros)
    starts: Ints = field(default_factory=lambda: np.zeros(NUM_BETS, dtype=np.int64))
    start_times: list[str] = field(default_factory=lambda: [""] * NUM_BETS)
    start_totals: Floats = field(default_factory=_zeros)  # `total` just before each start
    recent_ranks: Floats = field(default_factory=lambda: np.empty(0))
    recent_values: Floats = field(default_factory=lambda: np.empty(0))
    recent_times: list[str] = field(default_factory=list)

    @classmethod
    def from_baseline(cls, first_half: Sequence[float], second_half: Sequence[float], threshold: float) -> Self:
        """Bins from the first half, reference ranks from the second. Both must have a value."""
        edges = bin_edges(np.asarray(first_half))
        counts = np.bincount(bins_of(edges, np.asarray(second_half)), minlength=2 * len(edges) + 1)
        return cls(threshold=threshold, baseline_mean=float(np.mean(second_half)), edges=edges, counts=counts)

    @property
    def statistic(self) -> float:
        """The mean of the bets' Shiryaev-Roberts sums; an alarm at `threshold`."""
        return float(self.sums.mean())

    def observe_all(self, values: Floats, times: Sequence[str], uniforms: Floats) -> int:
        """Take values up to the one that raises the alarm, a block at most; `uniforms` in [0, 1) break ties.

        Returns how many were taken. After the alarm nothing moves.
        """
        if self.alarmed or not len(values):
            return 0
        values, uniforms = values[:_BLOCK], uniforms[:_BLOCK]
        course = self._run(values, uniforms)
        hits = np.flatnonzero(course.sums.mean(axis=1) >= self.threshold)
        self.alarmed = bool(len(hits))
        taken = int(hits[0]) + 1 if self.alarmed else len(values)
        self._settle(course, values[:taken], times[:taken])
        return taken

    def change(self) -> Change:
        """The best estimate of where the change began, given that there was one."""
        best = int(np.argmax(self.products))
        start = int(self.starts[best])
        late, log_product = self._split(best)
        if late.number > start and log_product >= np.log(self.products[best]) / 2:
            return late
        mean = (self.total - self.start_totals[best]) / (self.num_observed - start + 1)
        return Change(start, self.start_times[best], float(mean))

    def since(self, change: Change) -> Floats:
        """The values from a change on, as far as they are remembered."""
        return self.recent_values[-(self.num_observed - change.number + 1) :]

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; the inverse of `restore`."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in held.items()}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Continue from a state."""
        whole = {"counts", "starts"}
        arrays = {
            name: np.array(state[name], dtype=np.int64 if name in whole else np.float64)
            for name in (*whole, "edges", "sums", "products", "start_totals", "recent_ranks", "recent_values")
        }
        return cls(**{**state, **arrays})

    def _run(self, values: Floats, uniforms: Floats) -> _Course:
        """What the bets would do on these values. The state stays."""
        places = bins_of(self.edges, values)
        ranks = self._ranks(places, uniforms)
        factors = bet_factors(ranks)
        sums, products = np.empty_like(factors), np.empty_like(factors)
        sum_, product = self.sums, self.products
        for row, factor in enumerate(factors):
            sum_ = np.add(sum_, 1.0, out=sums[row])
            np.multiply(sum_, factor, out=sum_)
            product = np.maximum(product, 1.0, out=products[row])  # the largest over all starts: fallen, it restarts
            np.multiply(product, factor, out=product)
        return _Course(ranks, places, sums, products)

    def _ranks(self, places: Ints, uniforms: Floats) -> Floats:
        every = np.arange(len(places))
        seen = np.zeros((len(places), len(self.counts)), dtype=np.int64)
        seen[every, places] = 1
        seen = seen.cumsum(axis=0) + self.counts  # (values, bins): including the value itself
        below = seen.cumsum(axis=1)
        mine = seen[every, places]
        return np.asarray((below[every, places] - mine + uniforms * mine) / below[:, -1])

    def _settle(self, course: _Course, values: Floats, times: Sequence[str]) -> None:
        """Let the state be as after these values, the first of the course."""
        taken = len(values)
        totals = np.cumsum(np.concatenate([[self.total], values]))
        before = np.vstack([self.products, course.products[: taken - 1]])
        restarted = before <= 1.0
        last = taken - 1 - np.argmax(restarted[::-1], axis=0)
        for bet in np.flatnonzero(restarted.any(axis=0)):
            row = int(last[bet])
            self.starts[bet], self.start_times[bet] = self.num_observed + row + 1, times[row]
            self.start_totals[bet] = totals[row]
        self.num_observed += taken
        self.total = float(totals[-1])
        self.sums, self.products = course.sums[taken - 1].copy(), course.products[taken - 1].copy()
        self.counts = self.counts + np.bincount(course.places[:taken], minlength=len(self.counts))
        self.recent_ranks = np.concatenate([self.recent_ranks, course.ranks[:taken]])[-_NUM_RECENT:]
        self.recent_values = np.concatenate([self.recent_values, values])[-_NUM_RECENT:]
        self.recent_times = [*self.recent_times, *times][-_NUM_RECENT:]

    def _split(self, bet: int) -> tuple[Change, float]:
        """Among the newest values, the start that maximises n (mean - 1/2)^2: a shift from a known mean.

        With it, the log-product of the bet from there on.
        """
        ranks = self.recent_ranks
        measure = ranks if bet < len(_STAKES) else np.abs(2 * ranks - 1)
        sums, counts = np.cumsum(measure[::-1])[::-1], np.arange(len(ranks), 0, -1)
        at = int(np.argmax(counts * (sums / counts - 0.5) ** 2))
        mean = float(np.mean(self.recent_values[at:]))
        change = Change(self.num_observed - len(ranks) + at + 1, self.recent_times[at], mean)
        return change, float(np.log(bet_factors(ranks[at:])[:, bet]).sum())
