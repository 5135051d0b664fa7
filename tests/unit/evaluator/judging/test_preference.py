from dataclasses import replace

import numpy as np
import pytest

from ropewalk.evaluator.domain.judging.preference import MIN_CLUSTERS, JudgedPair, fit, raw_win_rate

FAMILIES = {"ours": "a", "theirs": "b", "third": ""}


def compared(rng: np.random.Generator, judge: str, biases: tuple[float, float, float], items: int) -> list[JudgedPair]:
    """Answers of three models of strengths .4, 0, -.4; ours are e^.5 times as long."""
    strengths, found = {"ours": 0.4, "theirs": 0.0, "third": -0.4}, []
    for item in range(items):
        for first in FAMILIES:
            for second in FAMILIES:
                if first == second:
                    continue
                longer = 0.5 * ((first == "ours") - (second == "ours")) + rng.normal(0, 0.4)
                own = (FAMILIES[first] == judge) - (FAMILIES[second] == judge)
                logit = strengths[first] - strengths[second] + biases[0] + biases[1] * longer + biases[2] * own
                outcome = float(rng.random() < 1 / (1 + np.exp(-logit)))
                found.append(
                    JudgedPair(
                        judge=judge,
                        first=first,
                        second=second,
                        cluster=f"{item}",
                        outcome=outcome,
                        log_length_difference=longer,
                        own=own,
                    )
                )
    return found


@pytest.fixture(scope="module")
def panel() -> list[JudgedPair]:
    rng = np.random.default_rng(5)
    return compared(rng, "a", (1.0, 0.8, 0.9), 300) + compared(rng, "b", (-0.5, 0.0, 0.0), 300)


def test_the_biases_of_each_judge_are_found(panel: list[JudgedPair]) -> None:
    found = fit(panel)
    for kind, judge, truth in (("position", "a", 1.0), ("length", "a", 0.8), ("family", "a", 0.9), ("family", "b", 0)):
        bias = found.bias(kind, judge)  # type: ignore[arg-type]
        assert bias is not None
        assert bias.lower <= truth <= bias.upper
        assert bias.upper - bias.lower < 0.9
    position = found.bias("position", "b")
    assert position is not None
    assert position.upper < 0


def test_the_win_rate_without_the_biases_holds_the_truth_where_the_raw_one_is_far_off(panel: list[JudgedPair]) -> None:
    truth = 1 / (1 + np.exp(-0.4))
    rate = fit(panel).win_rate("ours", "theirs")
    assert rate.lower <= truth <= rate.upper
    ours = [each for each in panel if {each.first, each.second} == {"ours", "theirs"}]
    assert raw_win_rate(ours, "ours") > rate.upper
    back = fit(panel).win_rate("theirs", "ours")
    assert back.value == pytest.approx(1 - rate.value)


def test_a_bias_that_nothing_could_show_is_none_and_the_win_rate_stays(panel: list[JudgedPair]) -> None:
    alone = [replace(each, log_length_difference=0.0) for each in panel if each.judge == "a"]
    found = fit(alone)
    assert found.bias("length", "a") is None
    assert found.bias("position", "a") is not None
    # One judge alone cannot tell its family's quality from its taste for it.
    assert found.bias("family", "a") is None


def test_a_judge_that_always_takes_the_first_gets_a_finite_bias() -> None:
    rng = np.random.default_rng(1)
    stubborn = [replace(each, outcome=1.0) for each in compared(rng, "a", (0, 0, 0), 40)]
    found = fit(stubborn)
    position = found.bias("position", "a")
    assert position is not None
    assert 3 < position.value < 20
    assert found.win_rate("ours", "theirs").value == pytest.approx(0.5, abs=0.05)


def test_few_clusters_are_refused_with_how_many_it_takes() -> None:
    few = compared(np.random.default_rng(1), "a", (0, 0, 0), MIN_CLUSTERS - 1)
    with pytest.raises(ValueError, match=f"compare pairs of at least {MIN_CLUSTERS}"):
        fit(few)


def test_an_unknown_model_is_named(panel: list[JudgedPair]) -> None:
    with pytest.raises(KeyError, match="nobody compared stranger"):
        fit(panel).win_rate("ours", "stranger")
