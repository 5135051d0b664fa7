"""The account of a training's seconds: plain rows with made-up times."""

import pytest

from ropewalk.events.training import StepMetrics, TimeAccount
from ropewalk.trainer.domain.goodput import Goodput, Yardstick, per_group


def a_row(step: int, *, at: float, **changes: object) -> StepMetrics:
    row = StepMetrics(
        time_unix=at, attempt=1, step=step, loss=2.0, grad_norm=1.0, lr=0.1, tokens=100, step_s=1.0, data_s=0.0,
        checkpoint_s=0.0,
    )  # fmt: skip
    return row.model_copy(update=changes)


def total(account: TimeAccount) -> float:
    return sum(value for name, value in account.model_dump().items() if name.endswith("_s") and name != "wall_s")


def test_every_second_has_one_name_through_a_loss_and_a_replay() -> None:
    goodput = Goodput(began=0.0)
    goodput.group_started(Yardstick())
    goodput.stepped([a_row(0, at=6.0, data_s=0.25), a_row(1, at=7.5, checkpoint_s=0.25), a_row(2, at=8.5)])
    goodput.group_started(Yardstick())
    goodput.stepped([a_row(1, at=19.5), a_row(2, at=20.5), a_row(3, at=22.5, evaluate_s=1.0)])
    account = goodput.ended(25.0, {"save": 2.0, "idle": 0.5})
    assert (
        account.model_dump()
        == TimeAccount(
            wall_s=25.0,
            step_s=3.75,
            data_s=0.25,
            checkpoint_s=2.25,
            compile_s=5.0,
            restart_s=10.0,
            replay_s=2.0,
            evaluate_s=1.0,
            idle_s=0.25 + 0.5,
            num_steps=4,
        ).model_dump()
    )
    assert total(account) == pytest.approx(account.wall_s)


def test_a_checkpoint_costs_what_the_steps_beside_its_flight_took_longer() -> None:
    goodput = Goodput(began=0.0)
    goodput.stepped([a_row(step, at=step + 1.0) for step in range(8)])
    goodput.stepped([a_row(8, at=9.5, step_s=1.5, saving=True), a_row(9, at=10.4, step_s=0.9, saving=True)])
    goodput.stepped([a_row(10, at=11.4)])
    account = goodput.account()
    assert account.checkpoint_s == pytest.approx(0.4)
    assert account.step_s == pytest.approx(11.0)
    assert total(account) == pytest.approx(11.4)


def test_the_next_holder_goes_on_with_the_account_of_the_one_before() -> None:
    first = Goodput(began=100.0)
    first.stepped([a_row(step, at=103.0 + step) for step in range(5)])
    second = Goodput(began=107.0, before=first.account())
    second.stepped([a_row(3, at=120.0), a_row(4, at=121.0), a_row(5, at=122.0)])
    account = second.ended(122.0, {})
    assert (account.step_s, account.compile_s, account.restart_s, account.replay_s) == (6.0, 2.0, 12.0, 2.0)
    assert (account.wall_s, total(account)) == (22.0, 22.0)


def test_workers_that_roll_back_restart_and_take_steps_again() -> None:
    goodput = Goodput(began=0.0)
    goodput.group_started(Yardstick())
    goodput.stepped([a_row(0, at=1.0), a_row(1, at=2.0), a_row(2, at=3.0), a_row(1, at=6.0), a_row(2, at=7.5)])
    account = goodput.account()
    assert (account.step_s, account.restart_s, account.replay_s, account.idle_s) == (3.0, 2.0, 2.0, 0.5)


def test_rows_that_come_twice_count_once() -> None:
    goodput = Goodput(began=0.0)
    rows = [a_row(step, at=step + 1.0) for step in range(3)]
    goodput.stepped(rows)
    goodput.stepped(rows)
    assert goodput.account().step_s == total(goodput.account()) == 3.0


def test_the_use_of_the_devices_is_over_all_ranks_and_leaves_out_the_step_that_compiles() -> None:
    goodput = Goodput(began=0.0)
    goodput.group_started(per_group(Yardstick(flops_per_token=10.0, peak_flops=1000.0, gemm_flops=800.0), 2))
    goodput.stepped([a_row(0, at=9.0, step_s=9.0, compile_s=8.5), a_row(1, at=10.0), a_row(2, at=11.0)])
    account = goodput.account()
    assert (account.mfu, account.gemm_mfu) == (0.5, 0.625)
