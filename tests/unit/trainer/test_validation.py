"""What the loss on held-out windows says. Plain values."""

import json
import math

from ropewalk.trainer.domain.validation import Looks


def after(*losses: float) -> Looks:
    looks = Looks()
    for number, loss in enumerate(losses, start=1):
        looks = looks.after(10 * number, epoch=number, loss=loss)
    return looks


def test_before_the_first_look_nothing_is_best_and_nothing_is_enough() -> None:
    assert Looks().best_place("r") is None
    assert not Looks().enough(1)


def test_the_best_is_the_first_of_the_lowest_and_where_its_lease_wrote_it() -> None:
    looks = after(3.0, 2.0, 2.0, 2.5)
    assert (looks.best_step, looks.best_loss, looks.waited, looks.loss) == (20, 2.0, 2, 2.5)
    place = looks.best_place("r")
    assert place is not None
    assert place.key == "runs/r/checkpoints/2-20"
    assert looks.is_best(20)
    assert not looks.is_best(40)


def test_it_is_enough_after_as_many_looks_without_a_gain_as_there_is_patience() -> None:
    assert [after(*losses).enough(2) for losses in ((3, 2), (3, 2, 2.1), (3, 2, 2.1, 2.2), (3, 2, 2.1, 1.9))] == [
        False,
        False,
        True,
        False,
    ]
    assert not after(1, 2, 3, 4).enough(0)


def test_a_loss_that_is_no_number_is_no_better() -> None:
    assert after(3.0, math.nan, math.inf).waited == 2


def test_the_state_comes_back_from_a_checkpoint_with_every_bit() -> None:
    looks = after(1 / 3, 0.1 + 0.2)
    assert Looks.of_json(json.loads(json.dumps(looks.as_json()))) == looks
    assert Looks.of_json({}) == Looks()


def test_a_run_that_extends_the_best_checkpoint_has_to_beat_it_and_counts_its_own_best_anew() -> None:
    begun = after(3.0, 2.0).extended(20)
    assert (begun.best_of_all, begun.best_place("new")) == ((20, 2.0), None)
    assert Looks.of_json(json.loads(json.dumps(begun.as_json(), allow_nan=False))) == begun
    looks = begun.after(30, 1, 2.4).after(40, 1, 2.2)
    assert (looks.best_of_all, looks.best_step, looks.waited, looks.enough(2)) == ((20, 2.0), 40, 2, True)
    better = looks.after(50, 1, 1.9)
    assert (better.best_of_all, better.waited) == ((50, 1.9), 0)
    assert looks.extended(40) == Looks()
    assert after(3.0, 2.0, 2.5).extended(30) == Looks()
