"""Which try a checkpoint is, and how sure the gate must be of it."""

import numpy as np
import pytest

from ropewalk.evaluator.domain.budget import ALPHA, Tries, Try, gate_seed, gate_set
from ropewalk.evaluator.domain.gate import Evidence, decide
from ropewalk.evaluator.domain.roles import GATES
from ropewalk.events.base import Message
from ropewalk.events.evaluation import Estimate, EvaluationStarted, GateDecided
from ropewalk.events.run import RunCancelled, RunFailed
from ropewalk.statistics.intervals import ratio


def begun(number: int, asked: str = "pycode/1") -> EvaluationStarted:
    return EvaluationStarted(run_id=f"r-{number}", checkpoint_id=f"c-{number}", gate_set=asked)


def a_gain(lower: float, upper: float, level: float) -> Estimate:
    words = {"metric": "bits_per_byte_gain", "method": "m", "role": "primary", "quantity": "bits per byte"}
    middle = {"value": (lower + upper) / 2, "lower": lower, "upper": upper, "level": level}
    return Estimate(**words, **middle, num_items=40, num_clusters=40, items="held-out files", paired=True)


def decided(number: int) -> GateDecided:
    return GateDecided(
        run_id=f"r-{number}",
        checkpoint_id=f"c-{number}",
        export_uri="e",
        evaluation_uri="e",
        decision="need_more",
        reasons=(),
        baseline="b",
        comparison=a_gain(0.0, 1.0, 0.95),
    )


def number_of(*facts: Message, checkpoint: str = "c-9", asked: str = "pycode/1") -> int:
    known = Tries()
    for fact in facts:
        known.add(fact)
    return known.of(asked, checkpoint).number


def test_every_checkpoint_that_began_before_is_a_try_also_one_that_is_judged_at_the_same_time() -> None:
    assert number_of() == 1
    assert number_of(begun(1), decided(1), begun(2), begun(9)) == 3


def test_tries_are_counted_by_model_and_version_to_beat() -> None:
    assert number_of(begun(1), begun(2, gate_set("pycode", 2)), begun(3, gate_set("other", 1))) == 2
    assert gate_set("pycode", 0) != gate_set("pycode", 1)


def test_a_second_look_at_a_checkpoint_is_a_try_more_and_the_first_one_stays_what_it_was() -> None:
    second = begun(9).model_copy(update={"look": 2})
    known = Tries()
    for fact in (begun(1), begun(9), decided(9), second, second, begun(3)):
        known.add(fact)
    assert [known.of("pycode/1", "c-9", look).number for look in (1, 2)] == [2, 3]
    assert known.of("pycode/1", "c-3").number == 4


def test_a_checkpoint_that_is_judged_again_after_a_crash_is_the_same_try() -> None:
    facts = (begun(1), begun(9), begun(2), begun(9), begun(3))
    assert number_of(*facts) == 2
    assert number_of(*facts, checkpoint="c-3") == 4


@pytest.mark.parametrize(
    "end",
    [RunFailed(run_id="r-1", stage="evaluate", message="m"), RunCancelled(run_id="r-1", mode="now")],
)
def test_a_try_of_which_nobody_learnt_anything_does_not_count(end: Message) -> None:
    assert number_of(begun(1), end) == 1
    assert number_of(begun(1), decided(1), end) == 2  # it failed later, with the decision known


def test_a_look_before_anybody_has_labelled_anything_could_promote_nobody_and_spends_nothing() -> None:
    nothing = decided(9)
    nothing = nothing.model_copy(update={"comparison": nothing.comparison.model_copy(update={"num_items": 0})})
    second = begun(9).model_copy(update={"look": 2})
    known = Tries()
    for fact in (begun(1), decided(1), begun(9), nothing, second):
        known.add(fact)
    assert known.of("pycode/1", "c-9", 2).number == 2


def test_what_began_before_there_was_a_budget_is_not_counted() -> None:
    assert number_of(begun(1, asked=""), asked="") == 1


def test_all_tries_together_spend_no_more_than_the_budget_and_the_first_is_the_usual_interval() -> None:
    assert Try().level == pytest.approx(0.95)
    spent = [(1 - Try(number=number).level) / 2 for number in range(1, 2000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.99 * ALPHA < sum(spent) < ALPHA


def test_what_is_drawn_to_judge_by_depends_on_the_model_alone() -> None:
    assert gate_seed("pycode") == gate_seed("pycode") != gate_seed("other")


def test_a_gain_that_is_enough_at_first_is_not_at_the_eighth_try_and_the_reasons_say_why() -> None:
    """The same candidate, sixty clusters, a gain of 2.3 standard errors."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=60)
    saved = 0.1 * ((noise - noise.mean()) / noise.std(ddof=1) + 2.3 / 60**0.5)

    def judged(number: int) -> tuple[str, tuple[str, ...]]:
        tried = Try("pycode/1", number)
        found = ratio(saved.tolist(), [1.0] * 60, seed=1, level=tried.level)
        gain = a_gain(found.lower, found.upper, tried.level)
        shown = {"margin": 0.0, "opponent": "pycode@1", "num_held_out": 60, "num_seen": 0}
        decision = decide(Evidence(estimates=(gain,), rules=GATES["full"], tried=tried, **shown))
        return decision.decision, decision.reasons

    assert judged(1)[0] == "promote"
    word, reasons = judged(8)
    assert word == "need_more"
    assert "99.86% interval" in reasons[0]
    assert reasons[-1] == (
        "this is try 8 against pycode@1: all tries together may promote by chance in 5% of cases, "
        "which leaves 0.069% to this one"
    )
