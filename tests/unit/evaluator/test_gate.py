import numpy as np
import pytest

from ropewalk.evaluator.domain.estimates import ItemScore, estimate_gain
from ropewalk.evaluator.domain.gate import MIN_CLUSTERS, Decision, Evidence, Parsing, decide
from ropewalk.events.evaluation import Estimate


def a_gain(value: float, lower: float, upper: float, num_items: int = 40) -> Estimate:
    return Estimate(
        metric="bits_per_byte_gain",
        value=value,
        lower=lower,
        upper=upper,
        level=0.95,
        num_items=num_items,
        method="m",
    )


def judge(gain: Estimate, margin: float = 0.0, opponent: str = "b", **more: object) -> Decision:
    shown = {"num_held_out": 50, "num_seen": 0} | more
    return decide(Evidence(gain=gain, margin=margin, opponent=opponent, **shown))


@pytest.mark.parametrize(
    ("gain", "margin", "decision"),
    [
        (a_gain(0.5, 0.4, 0.6), 0.0, "promote"),
        (a_gain(0.5, 0.4, 0.6), 0.4, "need_more"),  # the bound must be above, not at the margin
        (a_gain(0.5, 0.4, 0.6), 0.7, "reject"),
        (a_gain(0.1, -0.1, 0.3), 0.0, "need_more"),
        (a_gain(-0.5, -0.6, -0.4), 0.0, "reject"),
        (a_gain(0.0, 0.0, 0.0), 0.0, "need_more"),
    ],
)
def test_the_whole_interval_must_be_on_one_side_of_the_margin(gain: Estimate, margin: float, decision: str) -> None:
    assert judge(gain, margin).decision == decision


def test_too_few_files_are_never_enough_and_the_missing_ones_are_counted() -> None:
    decision = judge(a_gain(2.0, 1.9, 2.1, num_items=MIN_CLUSTERS - 3))
    assert decision.decision == "need_more"
    assert "3 are missing" in decision.reasons[0]
    assert judge(a_gain(2.0, 1.9, 2.1, num_items=MIN_CLUSTERS)).decision == "promote"


def test_the_reason_names_the_numbers_and_the_baseline() -> None:
    reason, seen = judge(a_gain(0.512, 0.4, 0.6), 0.05, "pycode@3").reasons
    assert seen == "pycode@3 has learnt from none of the 50 held-out documents"
    assert reason == (
        "the candidate needs 0.512 fewer bits per byte than pycode@3 (95% interval of the gain 0.400 to 0.600, "
        "40 files): the whole interval is above the margin of 0.05"
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
        sizes = rng.integers(500, 7500, size=MIN_CLUSTERS)
        gains = rng.normal(true_gain, 0.1, size=MIN_CLUSTERS)
        scores = [
            ItemScore(
                item_id=str(n),
                path=str(n),
                num_bytes=int(size),
                bits={"candidate": 2.0 * size, "unigram": (2.0 + gain) * size},
            )
            for n, (size, gain) in enumerate(zip(sizes, gains, strict=True))
        ]
        gain = estimate_gain(scores, "unigram", subject="s", seed=draw)
        promoted += judge(gain).decision == "promote"
    return promoted / draws


def test_an_equal_model_is_rarely_promoted_and_a_better_one_nearly_always() -> None:
    """The bound is one-sided at 2.5 %: 500 draws and 3 standard errors allow 4.6 %."""
    assert share_promoted(0.0, draws=500) <= 0.046
    assert share_promoted(0.1, draws=100) >= 0.9


def test_a_loss_is_said_as_a_loss() -> None:
    reason = judge(a_gain(-0.5, -0.6, -0.4), 0.0, "the base model").reasons[0]
    assert reason.startswith("the candidate needs 0.500 more bits per byte than the base model (")


BETTER = a_gain(0.5, 0.4, 0.6)


@pytest.mark.parametrize(
    ("parsing", "decision"),
    [
        (Parsing(num_prompts=64, candidate=0), "reject"),
        (Parsing(num_prompts=64, candidate=0, num_lost=30), "reject"),
        (Parsing(num_prompts=64, candidate=10, num_lost=12, num_won=2), "reject"),
        (Parsing(num_prompts=64, candidate=39, num_lost=6, num_won=4), "need_more"),
        (Parsing(num_prompts=64, candidate=39, num_lost=4, num_won=4), "promote"),
        (Parsing(num_prompts=64, candidate=39, num_lost=0, num_won=5), "promote"),
        (Parsing(num_prompts=64, candidate=1), "promote"),  # nobody to compare with
        (None, "promote"),
    ],
)
def test_a_candidate_of_which_fewer_completions_parse_is_not_promoted(parsing: Parsing | None, decision: str) -> None:
    assert judge(BETTER, parsing=parsing).decision == decision


def test_the_refusal_comes_first_and_names_both_counts() -> None:
    none, measured, *_ = judge(BETTER, parsing=Parsing(num_prompts=64, candidate=0)).reasons
    assert none == "none of the candidate's 64 completions parses"
    assert "above the margin" in measured
    fewer, more, *_ = judge(BETTER, parsing=Parsing(num_prompts=64, candidate=39, num_lost=6, num_won=4)).reasons
    assert fewer == "fewer completions parse than of b: 39 of 64, not 41"
    assert "raise evaluation.num_completions above 64" in more


def test_completions_that_parse_do_not_save_a_worse_model() -> None:
    worse = judge(a_gain(-0.5, -0.6, -0.4), parsing=Parsing(num_prompts=64, candidate=64, num_won=60))
    assert worse.decision == "reject"
    both = judge(a_gain(-0.5, -0.6, -0.4), parsing=Parsing(num_prompts=64, candidate=0))
    assert "below the margin" in both.reasons[0]


def test_a_toy_may_say_nothing_that_parses_and_the_reasons_say_so() -> None:
    decision = judge(BETTER, is_toy=True, parsing=Parsing(num_prompts=64, candidate=0))
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
