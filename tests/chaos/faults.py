"""Which faults, when, and to whom: drawn from a seed alone, so a seed repeats them."""

import random
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "kill_service",
    "stop_service",
    "kill_worker",
    "kill_broker",
    "kill_everything",
    "pause_service",
    "cut_network",
    "slow_network",
    "reset_network",
    "duplicate",
    "poison",
]
WEIGHTS: dict[FaultKind, int] = {
    "kill_service": 6,
    "stop_service": 1,
    "kill_worker": 3,
    "kill_broker": 2,
    "kill_everything": 1,
    "pause_service": 3,
    "cut_network": 2,
    "slow_network": 1,
    "reset_network": 1,
    "duplicate": 4,
    "poison": 1,
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. `pick` in [0, 1) chooses the victim among those there are; `seconds` is how long it lasts."""

    at_s: float
    kind: FaultKind
    pick: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind} at {self.at_s:.2f} s, pick {self.pick:.4f}, for {self.seconds:.2f} s"


def plan(seed: int, num_faults: int, mean_gap_s: float, ttl_s: float) -> tuple[Fault, ...]:
    """Faults at random times, each kind at least once. Outages last up to twice the lease's TTL."""
    chance = random.Random(f"faults/{seed}")
    at_s = 0.0
    faults: list[Fault] = []
    longest_s = dict.fromkeys(("pause_service", "cut_network", "slow_network", "kill_broker"), 2 * ttl_s)
    kinds = [*WEIGHTS, *chance.choices([*WEIGHTS], [*WEIGHTS.values()], k=num_faults)][:num_faults]
    chance.shuffle(kinds)
    for kind in kinds:
        at_s += min(chance.expovariate(1 / mean_gap_s), 4 * mean_gap_s)
        seconds = chance.uniform(0.05, longest_s.get(kind, 1.5))
        faults.append(Fault(at_s=at_s, kind=kind, pick=chance.random(), seconds=seconds))
    return tuple(faults)
