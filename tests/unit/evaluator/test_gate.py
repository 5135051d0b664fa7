import numpy as np
import pytest

from ropewalk.evaluator.domain.estimates import ItemScore, estimate_gain
from ropewalk.evaluator.domain.gate import MIN_CLUSTERS, decide
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
    assert decide(gain, margin, "the token unigram").decision == decision


def test_too_few_files_are_never_enough_and_the_missing_ones_are_counted() -> None:
    decision = decide(a_gain(2.0, 1.9, 2.1, num_items=MIN_CLUSTERS - 3), 0.0, "b")
    assert decision.decision == "need_more"
    assert "3 are missing" in decision.reasons[0]
    assert decide(a_gain(2.0, 1.9, 2.1, num_items=MIN_CLUSTERS), 0.0, "b").decision == "promote"


def test_the_reason_names_the_numbers_and_the_baseline() -> None:
    (reason,) = decide(a_gain(0.512, 0.4, 0.6), 0.05, "pycode@3").reasons
    assert reason == (
        "the candidate needs 0.512 fewer bits per byte than pycode@3 (95% interval of the gain 0.400 to 0.600, "
        "40 files): the whole interval is above the margin of 0.05"
    )


def test_an_undecided_gate_says_how_many_more_files_it_needs() -> None:
    # half-width .2 at a distance of .1: four times the files
    assert decide(a_gain(0.1, -0.1, 0.3), 0.0, "b").reasons[1].startswith("about 120 more held-out files")


def test_equal_models_are_called_equal() -> None:
    assert "equal" in decide(a_gain(0.0, 0.0, 0.0), 0.0, "b").reasons[1]


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
        promoted += decide(gain, 0.0, "the token unigram").decision == "promote"
    return promoted / draws


def test_an_equal_model_is_rarely_promoted_and_a_better_one_nearly_always() -> None:
    """The bound is one-sided at 2.5 %: 500 draws and 3 standard errors allow 4.6 %."""
    assert share_promoted(0.0, draws=500) <= 0.046
    assert share_promoted(0.1, draws=100) >= 0.9


def test_a_loss_is_said_as_a_loss() -> None:
    (reason,) = decide(a_gain(-0.5, -0.6, -0.4), 0.0, "the base model").reasons
    assert reason.startswith("the candidate needs 0.500 more bits per byte than the base model (")
