"""What is left of the biases of judges after the correction, and how soon a judge that drifts is found: simulations.

    python benchmarks/evaluation/judges.py [--simulations 400] [--out FILE]

Biases: a panel of three judges of three families compares the answers of four models, two of them of judges' families,
to 100 items in both orders. Positions are worth -1 to 1 logit, an answer twice as long up to 0.7, the own family 0 to
1; the candidate's answers are the longest. Items differ in difficulty (0.5 logits) and 10 % of the verdicts are ties.
`residual` is the corrected win rate less the true one of judges without biases; told is how often its 95 % interval
holds 0, and the mean error with and without the correction.

Drift: grades 0 to 3, residuals to the persons' grades of -.2 on average with a spread of .5 (after isotonic
calibration) or .7 (as judged), 100 labels of a calibration; then the judge moves by 0 or .3. Counted are answers that a
person grades too.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.evaluator.domain.judging.preference import JudgedPair, fit, raw_win_rate
from ropewalk.evaluator.domain.judging.probation import FALSE_ALARMS, begin

MODELS = {"candidate": "a", "production": "b", "base": "", "other": ""}  # its family
ITEMS, SPREAD, TIES = 100, 0.5, 0.1
LABELS, SPREADS = 100, (0.5, 0.7)
_QUADRATURE = np.polynomial.hermite_e.hermegauss(40)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class World:
    """A judge's position, length and family bias by name; the strengths of models; the lengths of their answers."""

    judges: dict[str, tuple[float, float, float]]
    strengths: dict[str, float]
    lengths: dict[str, float]

    def truth(self) -> float:
        """How often unbiased judges prefer the candidate to production, over items."""
        nodes, weights = _QUADRATURE
        logits = self.strengths["candidate"] - self.strengths["production"] + SPREAD * nodes
        return float((weights / weights.sum()) @ (1 / (1 + np.exp(-logits))))


def a_world(rng: np.random.Generator) -> World:
    judges = {name: (rng.uniform(-1, 1), rng.uniform(0, 1), rng.uniform(0, 1)) for name in "abc"}
    strengths = dict(zip(MODELS, rng.normal(0, 0.5, 4), strict=True))
    lengths = {"candidate": 0.5, "production": 0.0, "base": -0.3, "other": 0.2}
    return World(judges, strengths, lengths)


def verdicts(world: World, rng: np.random.Generator) -> list[JudgedPair]:
    """Every judge on every pair of every item in both orders."""
    found, names = [], list(MODELS)
    for item in range(ITEMS):
        lengths = {name: world.lengths[name] + rng.normal(0, 0.3) for name in names}
        for place, one in enumerate(names):
            for two in names[place + 1 :]:
                ease = SPREAD * rng.normal()
                for judge, (position, length, family) in world.judges.items():
                    for first, second, sign in ((one, two, 1), (two, one, -1)):
                        own = (MODELS[first] == judge) - (MODELS[second] == judge)
                        longer = lengths[first] - lengths[second]
                        logit = world.strengths[first] - world.strengths[second] + sign * ease
                        logit += position + length * longer + family * own
                        won = float(rng.random() < 1 / (1 + np.exp(-logit)))
                        outcome = 0.5 if rng.random() < TIES else won
                        found.append(
                            JudgedPair(
                                judge=judge, first=first, second=second, cluster=str(item), outcome=outcome,
                                log_length_difference=longer, own=own,
                            )
                        )  # fmt: skip
    return found


def one_panel(seed: int) -> tuple[bool, float, float]:
    """Whether the residual's interval holds 0, its error, and the error of what was judged."""
    rng = np.random.default_rng(seed)
    world = a_world(rng)
    # A tie is half a win, so the true rate of wins is drawn to one half by as much.
    truth = (1 - TIES) * world.truth() + TIES / 2
    seen = verdicts(world, rng)
    rate = fit(seen).win_rate("candidate", "production")
    ours = [each for each in seen if {each.first, each.second} == {"candidate", "production"}]
    return rate.lower <= truth <= rate.upper, rate.value - truth, raw_win_rate(ours, "candidate") - truth


def one_judge(seed: int, spread: float, drift: float, most: int) -> int:
    """After how many residuals an alarm came; 0: none within `most`."""
    rng = np.random.default_rng(seed)

    def residuals(count: int, mean: float) -> list[float]:
        return [float(each) for each in np.clip(rng.normal(mean, spread, count), -3, 3)]

    state = begin(residuals(LABELS, -0.2), span=3)
    for count, residual in enumerate(residuals(most, -0.2 + drift), start=1):
        state = state.see(residual)
        if state.has_drifted:
            return count
    return 0


def watched(spread: float, simulations: int) -> dict[str, Any]:
    """What became of judges whose residuals have this spread."""
    still = [one_judge(seed, spread, 0.0, 2000) for seed in range(simulations)]
    moved = [one_judge(seed, spread, sign * 0.3, 1000) for sign in (-1, 1) for seed in range(simulations)]
    found = sorted(each or 1001 for each in moved)
    return {
        "false_alarms_in_2000": round(float(np.mean([each > 0 for each in still])), 4),
        "drift_found_after_median": found[len(found) // 2],
        "drift_found_after_90_percent": found[int(0.9 * len(found))],
        "share_found_within_200": round(float(np.mean([0 < each <= 200 for each in moved])), 4),
    }


def _errors(found: NDArray[np.float64]) -> list[float]:
    return [round(float(each), 4) for each in (found.mean(), np.abs(found).mean())]


def main() -> None:
    """Simulate and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    panels = [one_panel(seed) for seed in range(options.simulations)]
    held, corrected, raw = (np.array(column, dtype=float) for column in zip(*panels, strict=True))
    result = {
        "machine": describe(),
        "simulations": options.simulations,
        "residual_interval_holds_0": round(float(held.mean()), 4),
        "win_rate_error_corrected_mean_and_mean_absolute": _errors(corrected),
        "win_rate_error_raw_mean_and_mean_absolute": _errors(raw),
        "false_alarms_allowed": FALSE_ALARMS,
        "drift_of_0.3_by_spread": {str(spread): watched(spread, options.simulations) for spread in SPREADS},
    }  # fmt: skip
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
