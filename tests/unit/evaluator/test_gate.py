"""Every comparison of the gate and every rule of the roles."""

import math

import numpy as np
import pytest

from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE
from ropewalk.evaluator.domain.estimates import ONE_SIDED
from ropewalk.evaluator.domain.gate import Decision, Evidence, decide
from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.roles import GATES, Rule, Rules, task_rules, with_preference
from ropewalk.evaluator.domain.statistics import paired_example_share, per_byte
from ropewalk.events.evaluation import Estimate

MIN_ITEMS = DOCUMENTS_TO_JUDGE
BITS = {"quantity": "bits per byte", "items": "held-out files", "better": "lower", "paired": True}
PARSING = {"quantity": "completions that parse", "items": "prompts", "better": "higher", "unit": "share"}


def a_gain(value: float, lower: float, upper: float, num_items: int = 40) -> Estimate:
    return an_estimate("bits_per_byte_gain", (value, lower, upper), num_items, role="primary", **BITS)


def an_estimate(metric: str, interval: tuple[float, float, float], num_items: int, **more: object) -> Estimate:
    value, lower, upper = interval
    fields = {"value": value, "lower": lower, "upper": upper, "num_items": num_items, "level": 0.95} | more
    return Estimate(metric=metric, method="m", **fields)


def a_parse_rate(parsed: int, of: int = 64) -> Estimate:
    return an_estimate("parse_rate", (parsed / of, 0.0, 1.0), of, role="guardrail", **PARSING)


def a_parse_gain(won: int, lost: int, of: int = 64) -> Estimate:
    values = [1.0] * won + [-1.0] * lost + [0.0] * (of - won - lost)
    spread = paired_example_share(values, [a_row(place, 1) for place in range(of)], 0, ONE_SIDED)
    interval = (spread.interval.value, spread.interval.lower, spread.interval.upper)
    more = PARSING | {"level": spread.level, "role": "guardrail", "paired": True}
    return an_estimate("parse_rate_gain", interval, of, **more)


def a_row(index: int, num_bytes: int) -> ItemScore:
    values = {"candidate": 0.0}
    names = {"metric": "m", "tasks": "t", "item_id": str(index), "path": str(index), "cluster": str(index)}
    return ItemScore(**names, num_bytes=num_bytes, values=values)


def judge(gain: Estimate, margin: float = 0.0, *guardrails: Estimate, **more: object) -> Decision:
    shown = {"num_held_out": 50, "num_seen": 0, "opponent": "b", "rules": GATES["full"]} | more
    return decide(Evidence(estimates=(*guardrails, gain), margin=margin, **shown))


@pytest.mark.parametrize(
    ("gain", "num_seen", "num_left"),
    [
        (a_gain(0.1, -0.1, 0.3), 0, 0),  # it holds the margin: more pairs of a guardrail would not settle that
        (a_gain(0.5, 0.4, 0.6), 0, 7),  # a guardrail stopped it
        (a_gain(0.5, 0.4, 0.6), 50, 0),  # nothing that is left can judge
    ],
)
def test_what_is_left_to_ask_is_counted_of_what_stopped_it(gain: Estimate, num_seen: int, num_left: int) -> None:
    shown = {"num_held_out": 50, "num_seen": num_seen, "opponent": "b", "rules": GATES["full"], "margin": 0.0}
    left = {"bits_per_byte": 0, "parse_rate": 7}
    assert Evidence(estimates=(gain,), left=left, **shown).num_left == num_left


@pytest.mark.parametrize(
    ("gain", "margin", "decision"),
    [
        (a_gain(0.5, 0.4, 0.6), 0.0, "promote"),
        (a_gain(0.5, 0.4, 0.6), 0.4, "need_more"),  # the bound must be above, not at the margin
        (a_gain(0.5, 0.4, 0.6), 0.7, "reject"),
        (a_gain(0.1, -0.1, 0.3), 0.0, "need_more"),
        (a_gain(-0.1, -0.3, 0.1), 0.0, "need_more"),
        (a_gain(-0.5, -0.6, -0.4), 0.0, "reject"),
        (a_gain(0.0, 0.0, 0.0), 0.0, "need_more"),
    ],
)
def test_the_whole_interval_must_be_on_one_side_of_the_margin(gain: Estimate, margin: float, decision: str) -> None:
    assert judge(gain, margin).decision == decision


def test_too_few_files_are_never_enough_and_the_missing_ones_are_counted() -> None:
    decision = judge(a_gain(2.0, 1.9, 2.1, num_items=MIN_ITEMS - 3))
    assert decision.decision == "need_more"
    assert "3 are missing" in decision.reasons[0]
    assert judge(a_gain(2.0, 1.9, 2.1, num_items=MIN_ITEMS)).decision == "promote"


def test_many_files_of_few_packages_are_not_enough() -> None:
    def from_packages(count: int) -> Decision:
        return judge(a_gain(2.0, 1.9, 2.1).model_copy(update={"num_clusters": count}))

    assert from_packages(9).decision == "need_more"
    assert from_packages(9).reasons[0].startswith("the 40 held-out files in 9 clusters that were scored")
    assert from_packages(10).decision == "promote"
    assert "40 held-out files in 10 clusters" in from_packages(10).reasons[0]


def test_the_reason_names_the_numbers_and_the_baseline() -> None:
    reason, seen = judge(a_gain(0.512, 0.4, 0.6), 0.05, opponent="pycode@3").reasons
    assert seen == "pycode@3 has learnt from none of the 50 held-out documents"
    assert reason == (
        "the candidate needs 0.512 fewer bits per byte than pycode@3 (95% interval of the gain 0.400 to 0.600, "
        "40 held-out files): the whole interval is above the margin of 0.05"
    )


def test_an_undecided_gate_says_how_many_more_files_it_needs() -> None:
    # half-width .2 at a distance of .1: four times the files
    assert judge(a_gain(0.1, -0.1, 0.3)).reasons[1].startswith("about 120 more held-out files")


def test_equal_models_are_called_equal() -> None:
    assert "equal" in judge(a_gain(0.0, 0.0, 0.0)).reasons[1]


def share_promoted(true_gain: float, draws: int) -> float:
    """Candidates that save `true_gain` bits per byte on average, with a spread of 0.1 between 20 files."""
    rng = np.random.default_rng(5)
    promoted = 0
    for draw in range(draws):
        sizes = rng.integers(500, 7500, size=MIN_ITEMS)
        gains = rng.normal(true_gain, 0.1, size=MIN_ITEMS)
        rows = [a_row(place, int(size)) for place, size in enumerate(sizes)]
        interval = per_byte([gain * size for gain, size in zip(gains, sizes, strict=True)], rows, draw).interval
        gain = a_gain(interval.value, interval.lower, interval.upper, num_items=MIN_ITEMS)
        promoted += judge(gain).decision == "promote"
    return promoted / draws


def test_an_equal_model_is_rarely_promoted_and_a_better_one_nearly_always() -> None:
    """The bound is one-sided at 2.5 %: 500 draws and 3 standard errors allow 4.6 %."""
    assert share_promoted(0.0, draws=500) <= 0.046
    assert share_promoted(0.1, draws=100) >= 0.9


def test_a_loss_is_said_as_a_loss() -> None:
    reason = judge(a_gain(-0.5, -0.6, -0.4), opponent="the base model").reasons[0]
    assert reason.startswith("the candidate needs 0.500 more bits per byte than the base model (")


BETTER = a_gain(0.5, 0.4, 0.6)


@pytest.mark.parametrize(
    ("guardrails", "decision"),
    [
        ([a_parse_rate(0)], "reject"),
        ([a_parse_rate(0), a_parse_gain(won=0, lost=30)], "reject"),
        ([a_parse_rate(10), a_parse_gain(won=2, lost=12)], "reject"),
        ([a_parse_rate(39), a_parse_gain(won=4, lost=6)], "need_more"),
        ([a_parse_rate(0), a_parse_gain(won=0, lost=1)], "reject"),  # the worse of two refusals counts
        ([a_parse_rate(39), a_parse_gain(won=4, lost=4)], "promote"),
        ([a_parse_rate(39), a_parse_gain(won=5, lost=0)], "promote"),
        ([a_parse_rate(1)], "promote"),  # nobody to compare with
        ([], "promote"),
    ],
)
def test_a_candidate_of_which_fewer_completions_parse_is_not_promoted(guardrails: list, decision: str) -> None:
    assert judge(BETTER, 0.0, *guardrails).decision == decision


@pytest.mark.parametrize(("won", "lost"), [(0, 4), (0, 5), (1, 7), (1, 6), (2, 9), (2, 8), (20, 40), (25, 36)])
def test_a_loss_rejects_exactly_where_a_sign_test_at_five_percent_does(won: int, lost: int) -> None:
    chance = sum(math.comb(won + lost, losses) for losses in range(lost, won + lost + 1)) / 2 ** (won + lost)
    assert judge(BETTER, 0.0, a_parse_gain(won, lost)).decision == ("reject" if chance <= 0.05 else "need_more")


def test_the_refusal_comes_first_and_names_the_numbers() -> None:
    none, measured, *_ = judge(BETTER, 0.0, a_parse_rate(0)).reasons
    assert none == "completions that parse: 0% of 64 prompts; the gate asks for more than 0%"
    assert "above the margin" in measured
    fewer, more, *_ = judge(BETTER, 0.0, a_parse_rate(39), a_parse_gain(won=4, lost=6)).reasons
    assert fewer.startswith("the candidate has 3.12% fewer completions that parse than b (90% interval of the gain -")
    assert more == "that can be chance; more than 64 prompts would settle it: raise evaluation.num_completions"


def test_a_guardrail_does_not_save_a_worse_model() -> None:
    worse = judge(a_gain(-0.5, -0.6, -0.4), 0.0, a_parse_rate(64), a_parse_gain(won=60, lost=0))
    assert worse.decision == "reject"
    both = judge(a_gain(-0.5, -0.6, -0.4), 0.0, a_parse_rate(0))
    assert "below the margin" in both.reasons[0]
    assert both.reasons[1].startswith("completions that parse")


def test_a_guardrail_that_asks_for_more_does_not_soften_a_rejection() -> None:
    assert judge(a_gain(-0.5, -0.6, -0.4), 0.0, a_parse_gain(won=4, lost=6)).decision == "reject"
    assert judge(a_gain(0.1, -0.1, 0.3), 0.0, a_parse_rate(0)).decision == "need_more"


def test_what_is_only_shown_decides_nothing() -> None:
    shown = [each.model_copy(update={"role": "shown"}) for each in (a_parse_rate(0), a_parse_gain(won=0, lost=30))]
    assert judge(BETTER, 0.0, *shown).decision == "promote"


def test_a_guardrail_has_the_floor_of_its_rule() -> None:
    rules = Rules({"bits_per_byte_gain": Rule("primary"), "parse_rate": Rule("guardrail", floor=0.25)})
    assert judge(BETTER, 0.0, a_parse_rate(16), rules=rules).decision == "reject"
    assert judge(BETTER, 0.0, a_parse_rate(17), rules=rules).decision == "promote"


@pytest.mark.parametrize(
    ("interval", "decision"),
    [
        ((-0.05, -0.09, -0.01), "promote"),  # worse, and not by as much
        ((-0.05, -0.10, 0.0), "promote"),
        ((-0.05, -0.11, 0.0), "need_more"),
        ((0.05, -0.11, 0.2), "need_more"),
        ((-0.2, -0.3, -0.11), "reject"),
        ((math.nan, math.nan, math.nan), "need_more"),
    ],
)
def test_a_guardrail_with_a_tolerance_must_exclude_what_is_beyond_it(
    interval: tuple[float, float, float], decision: str
) -> None:
    rules = with_preference(GATES["full"])
    primary = an_estimate("rewarded_answer_gain", (0.4, 0.3, 0.5), 40, role="primary", **PARSING, paired=True)
    language = an_estimate("bits_per_byte_gain", interval, 40, role="guardrail", **BITS)
    found = judge(primary, 0.0, language, rules=rules)
    assert found.decision == decision
    assert any("; 0.100 would be tolerated" in reason for reason in found.reasons) == (decision != "promote")


def test_where_a_preference_is_learnt_what_else_would_decide_guards() -> None:
    rules = with_preference(task_rules("full", has_schema=True, is_structured=True))
    assert (rules.primary, rules.role("field_accuracy_gain")) == ("rewarded_answer", "guardrail")
    assert (rules.role("schema_validity"), rules.role("bits_per_byte_gain")) == ("guardrail", "guardrail")
    assert [name for name, rule in rules.of.items() if rule.role == "primary"] == ["rewarded_answer_gain"]


def test_any_metric_can_be_the_primary_one() -> None:
    gain = an_estimate("exact_match_gain", (0.2, 0.1, 0.3), 40, role="primary", paired=True, **PARSING)
    decision = judge(gain, rules=Rules({"exact_match_gain": Rule("primary")}))
    assert decision.decision == "promote"
    assert decision.reasons[0].startswith("the candidate has 20% more completions that parse than b (95% interval")


def test_a_toy_may_say_nothing_that_parses_and_the_reasons_say_so() -> None:
    said = a_parse_rate(0).model_copy(update={"role": GATES["toy"].role("parse_rate")})
    decision = judge(BETTER, 0.0, said, rules=GATES["toy"])
    assert decision.decision == "promote"
    assert "gate of a toy" in decision.reasons[-1]


@pytest.mark.parametrize(
    ("num_seen", "said"),
    [
        (None, "which of the 50 held-out documents b has learnt from is not known"),
        (0, "b has learnt from none of the 50 held-out documents"),
        (12, "b has learnt from 12 of the 50 held-out documents, which were left out"),
    ],
)
def test_what_the_opponent_has_seen_is_always_said(num_seen: int | None, said: str) -> None:
    assert said in judge(BETTER, num_seen=num_seen).reasons


def test_documents_that_the_opponent_has_seen_decide_nothing() -> None:
    decision = judge(BETTER, num_seen=50, is_model=True)
    assert decision.decision == "need_more"
    assert decision.reasons[0].startswith("only 0 held-out files were scored and the gate needs 20")


def test_the_advice_is_of_use_against_the_opponent_at_hand() -> None:
    """A larger share of a corpus that production has learnt from would hold out more of what it has seen."""
    few = a_gain(0.5, 0.4, 0.6, num_items=7)
    assert judge(few).reasons[0].endswith("add sources or raise evaluation.held_out_fraction")
    assert judge(few, opponent="m@1", is_model=True).reasons[0].endswith("add sources that m@1 has not seen")
    undecided = judge(a_gain(0.1, -0.1, 0.3), opponent="m@1", is_model=True)
    assert "held_out_fraction" not in " ".join(undecided.reasons)


def test_a_guardrail_whose_interval_ends_at_zero_asks_for_more_and_rejects_only_below() -> None:
    def decision(upper: float) -> str:
        fields = PARSING | {"role": "guardrail", "paired": True}
        gain = an_estimate("parse_rate_gain", (-0.1, -0.2, upper), 64, **fields)
        return judge(a_gain(0.5, 0.4, 0.6), 0.0, gain).decision

    assert (decision(0.0), decision(-0.01)) == ("need_more", "reject")


def test_only_the_gate_of_a_toy_lets_a_first_model_beat_the_simplest_baseline() -> None:
    assert {name: rules.is_easy for name, rules in GATES.items()} == {"full": False, "toy": True}
