"""Symptoms in, decision out: no Ray, no clock."""

import pytest

from ropewalk.trainer.domain.recovery import AttemptCause, GiveUp, Loss, Symptom, TryAgain, decide, diagnose


def a_loss(*, cause: AttemptCause = "worker_lost", start: int = 0, done: int = 10, attempt: int = 1) -> Loss:
    return Loss(attempt=attempt, cause=cause, detail="because", start_step=start, last_step=done - 1, time_unix=0.0)


def raised(text: str) -> Symptom:
    return Symptom(kind="raised", text=text)


DIED = Symptom(kind="died", text="the process of worker 1 was killed or crashed")
LOST_PEER = raised("RuntimeError: gloo/transport/tcp/pair.cc: Connection reset by peer")


def test_a_killed_worker_is_the_cause_and_its_peers_complaint_is_not() -> None:
    diagnosis = diagnose([LOST_PEER, DIED])
    assert diagnosis.cause == "worker_lost"
    assert diagnosis.detail == DIED.text


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "disk_full"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", "out_of_memory"),
        ("RuntimeError: the loss is not finite", "not_finite"),
        ("RuntimeError: [gloo] Connection closed by peer", "worker_lost"),
        ("KeyError: 'lm_head.weight'", "error"),
    ],
)
def test_what_a_rank_raised_is_classified(text: str, cause: AttemptCause) -> None:
    assert diagnose([raised(text)]).cause == cause


def test_the_reason_a_rank_died_of_wins_over_the_death_of_the_others() -> None:
    assert diagnose([DIED, raised("MemoryError: ")]).cause == "out_of_memory"


def test_a_stall_that_was_ended_by_killing_the_group_stays_a_stall() -> None:
    assert diagnose([DIED, Symptom(kind="stalled", text="no sign of life")]).cause == "stalled"


def test_a_group_that_ended_without_a_word_is_the_clusters_fault() -> None:
    assert diagnose([]).cause == "cluster"


def test_what_a_worker_refuses_is_not_tried_again() -> None:
    diagnosis = diagnose([Symptom(kind="refused", text="the dataset has 3 windows, fewer than one batch")])
    decision = decide([a_loss(cause=diagnosis.cause, done=0)])
    assert isinstance(decision, GiveUp)


def test_a_full_disk_is_tried_again_even_if_the_worker_refused_to_go_on() -> None:
    diagnosis = diagnose([Symptom(kind="refused", text="not written: [Errno 28] No space left on device")])
    assert diagnosis.cause == "disk_full"
    assert decide([a_loss(cause="disk_full")]) == TryAgain(5.0)


def test_the_first_kill_is_recovered_from_at_once() -> None:
    assert decide([a_loss(done=10)]) == TryAgain(0.0)


def test_kills_with_progress_in_between_are_recovered_from_without_a_pause() -> None:
    losses = [a_loss(attempt=n, start=10 * n, done=10 * n + 5) for n in range(20)]
    assert decide(losses) == TryAgain(0.0)


def test_an_attempt_without_a_new_step_waits_longer_each_time() -> None:
    assert decide([a_loss(done=10), a_loss(done=10)]) == TryAgain(1.0)
    assert decide([a_loss(done=10), a_loss(done=8), a_loss(done=10)]) == TryAgain(2.0)


def test_three_attempts_without_a_new_step_are_given_up_with_the_step_and_the_cause() -> None:
    decision = decide([a_loss(done=10), a_loss(done=10), a_loss(done=9), a_loss(done=10)])
    assert isinstance(decision, GiveUp)
    assert "step beyond 10" in decision.message
    assert "worker lost" in decision.message


def test_a_group_that_never_takes_its_first_step_is_given_up_after_three_attempts() -> None:
    losses = [a_loss(start=40, done=40) for _ in range(3)]
    assert isinstance(decide(losses[:2]), TryAgain)
    assert isinstance(decide(losses), GiveUp)


def test_progress_forgives_fruitless_attempts_before_it() -> None:
    losses = [a_loss(done=10), a_loss(done=10), a_loss(done=10), a_loss(done=30)]
    assert decide(losses) == TryAgain(0.0)


def test_memory_has_a_smaller_budget_than_kills() -> None:
    losses = [a_loss(cause="out_of_memory", done=10 * n) for n in range(1, 4)]
    assert isinstance(decide(losses[:2]), TryAgain)
    decision = decide(losses)
    assert isinstance(decision, GiveUp)
    assert "smaller size" in decision.message


def test_budgets_are_counted_by_cause() -> None:
    losses = [a_loss(cause="out_of_memory", done=10), a_loss(cause="worker_lost", done=20)]
    assert decide([*losses, a_loss(cause="out_of_memory", done=30)]) == TryAgain(5.0)


def test_a_hang_wins_over_the_deaths_that_ended_it_and_has_a_budget_of_its_own() -> None:
    assert diagnose([DIED, Symptom(kind="hang", text="rank 1 was stopped")]).cause == "hang"
    losses = [a_loss(cause="hang", done=10 * n) for n in range(1, 7)]
    assert decide(losses[:5]) == TryAgain(1.0)
    decision = decide(losses)
    assert isinstance(decision, GiveUp)
    assert "stacks of that rank" in decision.message


def test_machines_that_are_taken_away_cost_more_attempts_than_code_that_breaks() -> None:
    for cause, allowed in (("crashed", 5), ("node_lost", 20), ("pre_emption", 100)):
        losses = [a_loss(cause=cause, done=10 * n) for n in range(1, allowed + 2)]
        assert isinstance(decide(losses[:allowed]), TryAgain)
        assert isinstance(decide(losses), GiveUp)
