"""Which estimates decide: the one place that gives a metric its role. What stands in no table is only shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ropewalk.tasksets.definition import TaskSetFile

BASE = "base_model"  # the scorer that a fine-tuning began with
NGRAMS = ("baseline_unigram", "baseline_bigram", "baseline_trigram")
GAIN = "_gain"  # ends the name of a metric's difference between the candidate and the opponent
Role = Literal["primary", "guardrail", "shown"]


def gain_over(metric: str, scorer: str) -> str:
    """The name of a metric's gain over a scorer that is not the opponent."""
    return f"{metric}{GAIN}_over_{scorer}"


@dataclass(frozen=True)
class Rule:
    """The role of an estimate. `remedy` is how a person gets more of its items.

    A guardrail of the candidate alone rejects where it is not above `floor`, or below `least`. A gain as a guardrail
    rejects where the candidate is worse, and asks for more where that can be chance. With a `tolerance` it rejects
    where the candidate is worse by more, and asks for more while that can be: the interval must exclude it.
    A primary gain must be above its `margin`, or that of the recipe where it has none.
    `sentence` says the levels of both, with the places {ours}, {theirs} and {opponent}.
    """

    role: Role
    floor: float = -math.inf
    least: float = -math.inf
    remedy: str = ""
    sentence: str = ""
    tolerance: float = 0.0
    margin: float | None = None


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


_MORE_FILES = "add sources"

GATES: Mapping[str, Rules] = {  # by evaluation.gate of the recipe
    "full": Rules(
        {
            "bits_per_byte_gain": Rule("primary"),
            # Production may be a toy that beat the unigram only: to be better than that is not enough.
            **{gain_over("bits_per_byte", name): Rule("guardrail", remedy=_MORE_FILES) for name in NGRAMS},
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

_LEAST_VALID = 0.9  # share of the answers: below it a client cannot do without constrained decoding
_FIELDS = "the candidate's answers are right in {ours} of the fields against {theirs} of {opponent}"
_VALID = "{ours} of the candidate's answers are valid without constraint against {theirs} of {opponent}"
_EXACT = "{ours} of the candidate's answers are exactly right against {theirs} of {opponent}"
_MORE_EXAMPLES = "add examples, or raise evaluation.held_out_fraction"


def task_rules(gate: str, *, has_schema: bool, is_structured: bool) -> Rules:
    """What decides about a specialist. Texts can be good in many words, so there bits per byte decides, as elsewhere.

    A toy need only be right in more fields than the opponent.
    """
    if not is_structured:
        return Rules(
            {
                "bits_per_byte_gain": Rule("primary"),
                "exact_match_gain": Rule("guardrail", remedy=_MORE_EXAMPLES, sentence=_EXACT),
            }
        )
    fields = {"field_accuracy_gain": Rule("primary", remedy=_MORE_EXAMPLES, sentence=_FIELDS)}
    if gate == "toy" or not has_schema:
        return Rules(fields)
    validity = {
        "schema_validity": Rule("guardrail", least=_LEAST_VALID),
        "schema_validity_gain": Rule("guardrail", remedy=_MORE_EXAMPLES, sentence=_VALID),
    }
    return Rules(fields | validity)


TOLERATED_BITS = 0.1  # a byte of the chosen answers
_REWARDED = "the chosen answer gained more in {ours} of the pairs against {theirs} of {opponent}"
_KEEPS_ITS_LANGUAGE = Rule(
    "guardrail", remedy="add records, or raise training.beta, which holds a model to its base", tolerance=TOLERATED_BITS
)
_PREFERENCE: Mapping[str, Rule] = {
    "rewarded_answer_gain": Rule("primary", remedy="add records", sentence=_REWARDED),
    # Whoever is for the chosen answer need not make it likelier, but a model that can say neither is good for nothing.
    "bits_per_byte_gain": _KEEPS_ITS_LANGUAGE,
    gain_over("bits_per_byte", BASE): _KEEPS_ITS_LANGUAGE,  # or a little would be lost with every version
}


def with_preference(rules: Rules) -> Rules:
    """What decides where a preference was learnt: what else would decide may not get worse."""
    guarded = {name: replace(rule, role="guardrail") for name, rule in rules.of.items()}
    return Rules({**guarded, **_PREFERENCE})


def with_task_sets(rules: Rules, sets: Sequence[TaskSetFile]) -> Rules:
    """With the parts that the metrics of task sets play; what else would decide may not get worse."""
    found = dict(rules.of)
    for each in sets:
        for metric, part in each.gate.items():
            name, remedy = f"{each.full_name}/{metric}{GAIN}", f"add items to {each.id}, in another version"
            if each.is_judged:
                remedy = (
                    f"have more answers labelled (`ropewalk eval raters invite {each.id} RATER` makes a link); where "
                    "all are, add items in another version"
                )
            if part.role == "primary":
                found = {at: replace(of, role="guardrail") if of.role == "primary" else of for at, of in found.items()}
                found[name] = Rule("primary", remedy=remedy, margin=part.margin)
            elif part.role == "guardrail":
                found[name] = Rule("guardrail", remedy=remedy, tolerance=part.margin)
    return replace(rules, of=found)
