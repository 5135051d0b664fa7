from ropewalk.client.describe import describe
from ropewalk.client.goodput import productive, spent, use
from ropewalk.events.training import TimeAccount, TrainingCompleted, TrainingProgressed

ACCOUNT = TimeAccount(
    wall_s=100.0, step_s=80.0, restart_s=12.0, checkpoint_s=4.0, replay_s=3.7, data_s=0.3, mfu=0.412, gemm_mfu=0.52
)


def test_an_account_names_what_took_half_a_percent_or_more_the_most_first() -> None:
    assert productive(ACCOUNT) == "80 % productive, MFU 41 %"
    assert spent(ACCOUNT) == "restarts 12 %, checkpoints 4 %, steps taken again 4 %"
    assert use(ACCOUNT) == "MFU 41 %, 52 % of the rate of a large product there"


def test_a_log_of_an_older_release_says_nothing_of_it() -> None:
    assert productive(TimeAccount()) == spent(TimeAccount()) == use(TimeAccount()) == ""


def test_the_events_of_a_training_tell_its_account() -> None:
    numbers = {"run_id": "r", "step": 10, "loss": 2.0, "tokens": 99}
    progressed = TrainingProgressed(
        **numbers, epoch=1, total_steps=20, tokens_per_s=500.0, seconds_left=9.0, account=ACCOUNT
    )
    assert describe(progressed) == "step 10 of 20, loss 2.000, 500 tokens/s, 80 % productive, MFU 41 %"
    completed = TrainingCompleted(**numbers, checkpoint_id="c", uri="u", seconds=100.0, account=ACCOUNT)
    assert describe(completed).endswith("in 100 s; 80 % productive, MFU 41 %; " + spent(ACCOUNT))


def test_a_product_that_seems_slower_than_the_steps_is_not_told() -> None:
    assert use(TimeAccount(wall_s=1.0, mfu=0.4, gemm_mfu=2.07)) == "MFU 40 %"
