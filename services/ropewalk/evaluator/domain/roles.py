"""Which estimates decide: the one place that gives a metric its role. What stands in no table is only shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GAIN = "_gain"  # ends the name of a metric's difference between the candidate and the opponent
Role = Literal["primary", "guardrail", "shown"]


@dataclass(frozen=True)
class Rule:
    """The role of an estimate. `remedy` is how a person gets more of its items.

    A guardrail of the candidate alone rejects where it is not above `floor`. One that compares with the opponent (its
    name ends in GAIN) rejects where the candidate is worse, and asks for more where that can be chance.
    """

    role: Role
    floor: float = -math.inf
    remedy: str = ""


@dataclass(frozen=True)
class Rules:
    """The rules of a gate by metric, and what a reader of its decision must know.

    `is_easy`: where there is no model to beat, it is enough to beat the simplest baseline, not the best.
    """

    of: Mapping[str, Rule]
    said: str = ""
    is_easy: bool = False

    def role(self, metric: str) -> Role:
        """The part that an estimate plays."""
        return self.of[metric].role if metric in self.of else "shown"

    @property
    def primary(self) -> str:
        """The metric whose gain decides."""
        return next(name.removesuffix(GAIN) for name, rule in self.of.items() if rule.role == "primary")


GATES: Mapping[str, Rules] = {  # by evaluation.gate of the recipe
    "full": Rules(
        {
            "bits_per_byte_gain": Rule("primary"),
            # Bits per byte can improve while nothing that the model writes is code any more.
            "parse_rate": Rule("guardrail", floor=0.0),
            "parse_rate_gain": Rule("guardrail", remedy="raise evaluation.num_completions"),
        }
    ),
    "toy": Rules(
        {"bits_per_byte_gain": Rule("primary")},
        said=(
            "this is the gate of a toy (evaluation.gate): a first model need only beat the token unigram, not the best "
            "n-gram, and no completion need parse"
        ),
        is_easy=True,
    ),
}
