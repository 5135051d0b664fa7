"""What is said about the requests that were sent while a fault lasted."""

from collections import Counter

from ropewalk.drills.endpoint import RequestOutcome, judge, judge_log


def answers(*errors: str) -> list[RequestOutcome]:
    return [
        RequestOutcome(request_id=f"cmpl-{number}", began_s=float(number), took_s=0.5, error=error)
        for number, error in enumerate(errors)
    ]


def test_all_answered_passes_and_names_the_slowest() -> None:
    verdict = judge(answers("", ""), hit=False, back=True)
    assert verdict.passed
    assert verdict.detail == "2 sent, 0 failed, slowest answer 0.50 s"


def test_a_fault_elsewhere_may_cost_no_request() -> None:
    verdict = judge(answers("", "status 503", ""), hit=False, back=True)
    assert not verdict.passed
    assert "1 failed" in verdict.detail
    assert "away for 0.5 s (status 503)" in verdict.detail


def test_the_endpoint_itself_may_be_away_but_must_come_back() -> None:
    assert judge(answers("", "ConnectError", "ConnectError", ""), hit=True, back=True).passed
    verdict = judge(answers("", "ConnectError"), hit=True, back=False)
    assert not verdict.passed
    assert verdict.detail.endswith("not back")


def test_an_answered_request_is_in_the_log_once() -> None:
    assert judge_log({"a", "b"}, Counter("ab"), hit=False).passed
    missing = judge_log({"a", "b"}, Counter("a"), hit=False)
    assert not missing.passed
    assert missing.detail == "2 answered, 1 missing, 0 there twice"
    assert judge_log({"a", "b"}, Counter("a"), hit=True).passed
    assert not judge_log({"a"}, Counter("aa"), hit=True).passed
