import pytest

from ropewalk.events.run import StageState
from ropewalk.stages.policy import RETRIES, Cause, Ending, Verdict, is_exhausted, judge, may_begin, tried_again


def a_state(**changes: object) -> StageState:
    fields = {
        "run_id": "r", "stage": "s", "status": "running", "epoch": 1, "attempt": 1,
        "operation_id": "o", "cause_id": "c", "cause_type": "t", "cause_body": "{}",
    }  # fmt: skip
    return StageState.model_validate(fields | changes)


def test_a_good_ending_is_done() -> None:
    assert judge(Ending(), {}).status == "done"


BUDGETS: list[tuple[Cause, int, str]] = [
    ("error", 3, "it failed 4 times, last with: disk broken"),
    ("raised", 1, "it raised an error 2 times, last with: disk broken"),
    ("child", 5, "its process died 6 times, last with: disk broken"),
    ("lost", 20, "its service was lost 21 times, last with: disk broken"),
    ("stalled", 2, "it made no progress 3 times, last with: disk broken"),
]


@pytest.mark.parametrize(("cause", "retries", "sentence"), BUDGETS)
def test_a_stage_is_tried_again_as_often_as_the_cause_allows_and_then_fails_with_the_number_of_tries(
    cause: Cause, retries: int, sentence: str
) -> None:
    state, ending = a_state(), Ending(reason="disk broken", cause=cause)
    for _ in range(retries):
        assert judge(ending, state.retries).status == "running"
        assert not is_exhausted(cause, state.retries)
        state = tried_again(state, cause)
    assert is_exhausted(cause, state.retries)
    assert judge(ending, state.retries) == Verdict(status="failed", message=sentence)


def test_the_pause_before_the_next_attempt_grows_from_half_a_second_to_five() -> None:
    pauses = [judge(Ending(reason="x", cause="lost"), {"lost": used}).again_after_s for used in range(6)]
    assert pauses == [0.5, 2.0, 5.0, 5.0, 5.0, 5.0]


def test_a_long_reason_is_kept_where_it_says_most_and_short_enough_to_be_read_in_lists() -> None:
    hopeless = judge(Ending(reason="a" * 5000, hopeless=True), {})
    assert hopeless.message == "a" * 4000 + "… (5,000 characters)"
    whole = judge(Ending(reason="a" * 4000, hopeless=True), {})
    assert whole.message == "a" * 4000
    exhausted = judge(Ending(reason="x" + "a" * 1500, cause="raised"), {"raised": 1})
    assert exhausted.message == "it raised an error 2 times, last with: " + "a" * 1500


@pytest.mark.parametrize("cause", ["error", "raised", "child", "lost", "stalled"])
def test_each_cause_has_a_budget_of_its_own(cause: Cause) -> None:
    others = {other: most for other, most in RETRIES.items() if other != cause}
    assert judge(Ending(reason="x", cause=cause), others).status == "running"
    assert judge(Ending(reason="x", cause=cause), {cause: RETRIES[cause]}).status == "failed"


def test_a_hand_over_uses_no_budget() -> None:
    state = a_state(retries={"lost": 3})
    for _ in range(50):
        state = tried_again(state, "handed over")
    assert (state.attempt, state.retries) == (51, {"lost": 3})
    assert not is_exhausted("handed over", state.retries)


def test_a_retry_is_counted_under_its_cause_and_is_a_commit_of_its_own() -> None:
    once = tried_again(a_state(), "stalled")
    twice = tried_again(once, "lost")
    assert (twice.attempt, twice.retries) == (3, {"stalled": 1, "lost": 1})
    assert len({a_state().operation_id, once.operation_id, twice.operation_id}) == 3


def test_a_hopeless_error_fails_at_once() -> None:
    verdict = judge(Ending(reason="x", hopeless=True), {})
    assert (verdict.status, verdict.again_after_s, verdict.message) == ("failed", None, "x")


def test_a_cancelled_stage_is_not_tried_again() -> None:
    assert judge(Ending(reason="x", cancelled=True), {}).status == "cancelled"


def test_a_request_begins_a_stage_once() -> None:
    assert may_begin(None, "c")
    assert not may_begin(a_state(status="done"), "c")
    assert not may_begin(a_state(status="running"), "c")
    assert not may_begin(a_state(status="running"), "other")
    assert not may_begin(a_state(status="queued"), "other")
    assert may_begin(a_state(status="done"), "other")
    assert may_begin(a_state(status="failed"), "other")
