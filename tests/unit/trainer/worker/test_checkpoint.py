"""The pure parts of a checkpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.trainer.adapters.worker.checkpoint import check_identity, in_order, read_state
from ropewalk.trainer.adapters.worker.job import WorkerError
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace, place_of


@given(count=st.integers(1, 40), world_size=st.integers(1, 9))
def test_the_global_batch_is_rebuilt_from_what_the_ranks_took(count, world_size):
    samples = tuple(range(100, 100 + count))
    assert in_order([samples[rank::world_size] for rank in range(world_size)]) == samples


def test_only_a_changed_condition_is_refused_and_named_with_both_values():
    saved = {"seed": 17, "batch_size": 4}
    check_identity(saved, {"seed": 17})  # what only the checkpoint knows is no condition
    with pytest.raises(WorkerError, match=r"cannot resume: seed was 17 .* is 18 now"):
        check_identity(saved, {"seed": 18, "batch_size": 4})


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    (tmp_path / "state.json").write_text('{"format": 99}')
    with pytest.raises(WorkerError, match="format 99, this version reads 1"):
        read_state(tmp_path)


def test_the_epoch_is_in_the_key_so_that_a_stale_attempt_overwrites_nothing():
    place = CheckpointPlace(run_id="r", epoch=2, step=40)
    assert place.key == "runs/r/checkpoints/2-40"
    assert place_of(place.key) == place
    assert place_of(f"{place.key}.tmp") is None
