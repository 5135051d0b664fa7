from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPinned,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    CheckpointValidated,
)
from ropewalk.events.training import TrainingCompleted, TrainingResumed, TrainingValidated
from ropewalk.projections.retention import FEWEST_KEPT, Holdings, Policy, to_prune

NOW = 1000.0  # Unix seconds


def a_saved(step: int, epoch: int = 1) -> CheckpointSaved:
    name = f"r-{epoch}-{step}"
    return CheckpointSaved(
        run_id="r",
        checkpoint_id=name,
        epoch=epoch,
        step=step,
        uri=f"runs/r/checkpoints/{epoch}-{step}",
        manifest_sha256="0",
        num_bytes=1,
        blocked_s=0.0,
    )


def a_commit(step: int, epoch: int = 1) -> CheckpointCommitted:
    saved = a_saved(step, epoch)
    return CheckpointCommitted(
        run_id="r", checkpoint_id=saved.checkpoint_id, step=step, uri=saved.uri, manifest_sha256="0"
    )


def verified(*steps: int, epoch: int = 1) -> list[Message]:
    return [message for step in steps for message in (a_saved(step, epoch), a_commit(step, epoch))]


def a_resume(checkpoint_id: str) -> TrainingResumed:
    return TrainingResumed(run_id="r", epoch=1, attempt=2, resume_step=0, checkpoint_id=checkpoint_id, seconds_lost=1.0)


def pruned_names(messages: Iterable[Message], keep: int) -> list[str]:
    return [checkpoint.checkpoint_id for checkpoint in to_prune(Holdings().after(*messages), Policy(last=keep), NOW)]


def test_only_the_newest_verified_checkpoints_stay() -> None:
    assert pruned_names(verified(10, 20, 30, 40), keep=3) == ["r-1-10"]


def test_two_verified_ones_stay_whatever_the_plan_says() -> None:
    assert pruned_names(verified(10, 20, 30), keep=1) == ["r-1-10"]


def test_a_checkpoint_nobody_verified_neither_counts_nor_goes() -> None:
    assert pruned_names([*verified(10, 20), a_saved(30), a_saved(40)], keep=2) == []


def test_a_quarantined_checkpoint_does_not_count_as_kept() -> None:
    broken = CheckpointQuarantined(
        run_id="r", checkpoint_id="r-1-30", step=30, uri="quarantine/x", file="a", reason="b"
    )
    assert pruned_names([*verified(10, 20, 30), broken], keep=2) == []


def test_a_later_epoch_is_newer_than_a_later_step() -> None:
    timeline = [*verified(10, 20, epoch=1), *verified(12, 14, epoch=5)]
    assert pruned_names(timeline, keep=2) == ["r-1-10", "r-1-20"]


def test_the_checkpoint_that_training_resumed_from_stays_until_a_newer_one_is_verified() -> None:
    resumed_from_the_oldest = [*verified(10, 20, 30), a_resume("r-1-10")]
    assert pruned_names(resumed_from_the_oldest, keep=2) == []
    assert pruned_names([*resumed_from_the_oldest, *verified(40)], keep=2) == ["r-1-10", "r-1-20"]


def test_final_and_exported_checkpoints_are_never_pruned() -> None:
    final = TrainingCompleted(run_id="r", checkpoint_id="r-1-10", uri="u", step=10, loss=1.0, tokens=1, seconds=1.0)
    exported = CheckpointExported(
        run_id="r",
        checkpoint_id="r-1-20",
        checkpoint_uri="u",
        step=20,
        uri="e",
        manifest_sha256="0",
        num_parameters=1,
        num_bytes=1,
    )
    assert pruned_names([*verified(10, 20, 30, 40, 50), final, exported], keep=2) == ["r-1-30"]


def test_what_was_pruned_is_not_pruned_again() -> None:
    gone = CheckpointPruned(run_id="r", checkpoint_id="r-1-10", step=10, uri="u")
    timeline = [*verified(10, 20, 30), gone]
    assert pruned_names(timeline, keep=2) == []
    assert Holdings().after(*timeline).pruned == {"r-1-10"}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50)), unique=True, max_size=12), st.integers(1, 5))
def test_pruning_leaves_enough_and_never_the_newest(places: list[tuple[int, int]], keep: int) -> None:
    timeline = [message for epoch, step in sorted(places) for message in verified(step, epoch=epoch)]
    gone = to_prune(Holdings().after(*timeline), Policy(last=keep), NOW)
    left = set(Holdings().after(*timeline).verified.values()) - set(gone)
    assert len(left) >= min(len(places), max(keep, FEWEST_KEPT))
    assert not gone or max(gone) < min(left)


def pruned_steps(messages: Iterable[Message], **policy: int) -> list[int]:
    return [each.step for each in to_prune(Holdings().after(*messages), Policy(**policy), NOW)]


def a_look(step: int, loss: float) -> TrainingValidated:
    return TrainingValidated(run_id="r", epoch=1, step=step, loss=loss, best_step=0, best_loss=0.0, num_tokens=1)


def a_pin(checkpoint_id: str, *, pinned: bool = True, until_unix: float = 0.0) -> CheckpointPinned:
    return CheckpointPinned(run_id="r", checkpoint_id=checkpoint_id, pinned=pinned, until_unix=until_unix)


def test_history_keeps_the_first_of_each_doubling_of_steps() -> None:
    timeline = verified(*range(10, 330, 10))
    left = set(range(10, 330, 10)) - set(pruned_steps(timeline, last=2, history=4))
    assert left == {40, 70, 130, 260, 310, 320}


def test_what_history_keeps_it_keeps_while_the_run_goes_on() -> None:
    kept: list[Message] = []
    for step in range(10, 330, 10):
        kept += verified(step)
        for gone in to_prune(Holdings().after(*kept), Policy(last=2, history=4), NOW):
            kept.append(CheckpointPruned(run_id="r", checkpoint_id=gone.checkpoint_id, step=gone.step, uri=gone.uri))
    assert {each.step for each in Holdings().after(*kept).verified.values()} == {40, 70, 130, 260, 310, 320}


def test_the_best_by_held_out_loss_stay_and_one_without_a_number_is_none() -> None:
    looks = [a_look(10, 3.0), a_look(20, 1.0), a_look(30, float("nan")), a_look(40, 2.0)]
    assert pruned_steps([*verified(10, 20, 30, 40, 50, 60), *looks], last=2, best=2) == [10, 30]


def test_a_checkpoint_tells_its_own_held_out_loss_where_the_look_itself_is_not_in_the_log() -> None:
    timeline = [
        message.model_copy(update={"held_out_loss": 1.0}) if isinstance(message, CheckpointSaved) else message
        for message in verified(20)
    ]
    assert pruned_steps([*verified(10), *timeline, *verified(30, 40, 50)], last=2, best=1) == [10, 30]


def test_a_pinned_checkpoint_stays_until_its_time_is_over_or_it_is_unpinned() -> None:
    timeline = [*verified(10, 20, 30, 40), a_pin("r-1-10"), a_pin("r-1-20", until_unix=NOW + 1)]
    assert pruned_steps(timeline, last=2) == []
    assert pruned_steps([*timeline, a_pin("r-1-20", until_unix=NOW)], last=2) == [20]
    assert pruned_steps([*timeline, a_pin("r-1-10", pinned=False)], last=2) == [10]


def a_validation(step: int, loss: float) -> CheckpointValidated:
    numbers = {"bits_per_byte": 1.0, "num_tokens": 9, "num_items": 4, "seconds": 1.0}
    return CheckpointValidated(run_id="r", checkpoint_id=f"r-1-{step}", step=step, loss=loss, **numbers)


def test_the_best_by_validation_beside_the_training_stay_whatever_looks_in_it_say() -> None:
    looks = [a_look(10, 1.0), a_look(20, 2.0), a_look(30, 3.0), a_look(40, 4.0)]
    said = [a_validation(10, 3.0), a_validation(20, 2.5), a_validation(30, float("nan"))]
    assert pruned_steps([*verified(10, 20, 30, 40, 50, 60), *looks, *said], last=2, best=1) == [10, 30, 40]
    held = Holdings().after(*verified(10, 20), *said)
    assert held.best == held.verified["r-1-20"]
    again = held.after(*verified(20))  # written again, and not read again
    assert again.best == held.verified["r-1-10"]


def test_validations_without_a_lower_loss_are_counted_and_what_followed_from_the_count_stays() -> None:
    said = [a_validation(step, loss) for step, loss in ((10, 3.0), (20, 3.0), (30, float("nan")), (40, 2.9), (50, 3.0))]
    held = Holdings().after(*said)
    assert (held.waited, held.most_waited, held.lowest) == (1, 2, 2.9)


def test_a_checkpoint_whose_loss_is_told_twice_is_counted_once_until_it_is_written_again() -> None:
    held = Holdings().after(*verified(10, 20), a_validation(10, 3.0), a_validation(20, 3.1), a_validation(20, 3.1))
    assert (held.waited, held.most_waited) == (1, 1)
    assert held.after(*verified(20), a_validation(20, 3.2)).waited == 2
    assert held.after(a_validation(20, 2.0)).waited == 0  # the last word counts
