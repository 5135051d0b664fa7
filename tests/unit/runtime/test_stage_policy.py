from ropewalk.events.run import StageState
from ropewalk.runtime.stage_policy import MAX_ATTEMPTS, Ending, judge, may_begin


def a_state(**changes: object) -> StageState:
    fields = {
        "run_id": "r", "stage": "s", "status": "running", "epoch": 1, "attempt": 1,
        "operation_id": "o", "cause_id": "c", "cause_type": "t", "cause_body": "{}",
    }  # fmt: skip
    return StageState.model_validate(fields | changes)


def test_a_good_ending_is_done() -> None:
    assert judge(Ending(), attempt=1).status == "done"


def test_an_error_is_tried_again_ever_later_and_then_fails() -> None:
    pauses = [judge(Ending(reason="x"), attempt).again_after_s for attempt in range(1, MAX_ATTEMPTS)]
    assert pauses == sorted(pauses)
    assert None not in pauses
    assert judge(Ending(reason="x"), MAX_ATTEMPTS).status == "failed"


def test_a_hopeless_error_fails_at_once() -> None:
    verdict = judge(Ending(reason="x", hopeless=True), attempt=1)
    assert (verdict.status, verdict.again_after_s) == ("failed", None)


def test_a_cancelled_stage_is_not_tried_again() -> None:
    assert judge(Ending(reason="x", cancelled=True), attempt=1).status == "cancelled"


def test_a_request_begins_a_stage_once() -> None:
    assert may_begin(None, "c")
    assert not may_begin(a_state(status="done"), "c")
    assert not may_begin(a_state(status="running"), "c")
    assert not may_begin(a_state(status="running"), "other")
    assert may_begin(a_state(status="done"), "other")
    assert may_begin(a_state(status="failed"), "other")
