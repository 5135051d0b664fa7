"""How strong each is, from who beat whom: Bradley & Terry (1952), with ties as Davidson (1970)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float64]
_ROUNDS, _STILL = 100, 1e-12


@dataclass(frozen=True)
class Strengths:
    """`logits` (players,) with the mean 0: i beats j with odds exp(logits[i] - logits[j]). `tie`: Davidson's nu."""

    logits: _Floats
    tie: float

    def beats(self, first: int, second: int) -> tuple[float, float]:
        """The chances that the first wins and that it is a tie."""
        x, y = np.exp(self.logits[[first, second]] / 2)
        total = x**2 + y**2 + self.tie * x * y
        return float(x**2 / total), float(self.tie * x * y / total)


def bradley_terry(wins: ArrayLike, ties: ArrayLike | None = None, ridge: float = 0.0) -> Strengths:
    """Maximum likelihood by Newton's steps.

    `wins` (players, players): how often the row beat the column; `ties` the same, symmetric. `ridge` times
    the sum of squared logits is taken off the log-likelihood. Raises ValueError where a strength is infinite:
    without a ridge, everybody must lose to everybody else by some chain of games.
    """
    won = np.asarray(wins, dtype=np.float64)
    tied = np.zeros_like(won) if ties is None else np.asarray(ties, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or won.shape != tied.shape:
        raise ValueError(f"wins and ties are square tables of players, not of shapes {won.shape} and {tied.shape}")
    if not ridge and not _connected(won + tied):
        raise ValueError("a group of players never lost to the others, so nothing bounds its strength: give a ridge")
    n, logits, log_tie = len(won), np.zeros(len(won)), 0.0 if tied.any() else -np.inf
    for _ in range(_ROUNDS):
        slope, bend = _derivatives(won, tied, logits, log_tie)
        slope[:n] -= 2 * ridge * logits
        bend[:n, :n] += 2 * ridge * np.eye(n)
        if not tied.any():
            slope, bend = slope[:n], bend[:n, :n]
        step = np.linalg.pinv(bend) @ slope
        step *= min(1.0, 2.0 / max(1e-300, np.abs(step).max()))  # far from the top Newton's step is too long
        logits = logits + step[:n] - step[:n].mean()
        log_tie += float(step[n]) if tied.any() else 0.0
        if np.abs(step).max() < _STILL:
            break
    return Strengths(logits, float(np.exp(log_tie)))


def _derivatives(won: _Floats, tied: _Floats, logits: _Floats, log_tie: float) -> tuple[_Floats, _Floats]:
    """Of the log-likelihood by the logits and the log of nu: first (n + 1,), and minus the second (n + 1, n + 1)."""
    n = len(won)
    games = won + won.T + (tied + tied.T) / 2  # symmetric, each pair twice
    half = (logits[:, None] - logits) / 2
    up, down, even = np.exp(half), np.exp(-half), np.exp(log_tie)
    total = up + down + even
    win, tie = up / total, even / total
    score = win - (down / total)  # mean of +1, 0, -1 for the row
    slope, bend = np.empty(n + 1), np.empty((n + 1, n + 1))
    slope[:n] = ((won - won.T) / 2 - games * score / 2).sum(axis=1)
    spread = games * (win + down / total - score**2) / 4
    bend[:n, :n] = np.diag(spread.sum(axis=1)) - spread
    slope[n] = (tied.sum() - (games * tie).sum()) / 2
    bend[n, n] = (games * tie * (1 - tie)).sum() / 2
    bend[n, :n] = bend[:n, n] = -(games * tie * score / 2).sum(axis=1)
    return slope, bend


def _connected(beaten: _Floats) -> bool:
    reach = (beaten > 0) | np.eye(len(beaten), dtype=bool)
    for _ in range(len(beaten)):
        reach = reach @ reach
    return bool(reach.all())
