"""Which steps a run owes its ledger, as the log tells how it ended."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.client.errors import NotMeasurableError
from ropewalk.client.ledgers import ledger_verdict
from ropewalk.corpus.shards import ShardMeta
from ropewalk.events.base import Message
from ropewalk.events.data import DatasetPublished
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunAccepted, RunCancelled, RunCompleted, RunFailed
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects

RECIPE = resolve_recipe({"base": "python-stdlib-tiny"})
META = ShardMeta(
    dataset_version="d",
    tokenizer_uri="t",
    context_length=64,
    num_tokens=641,
    num_windows=10,
    dtype="<u2",
    has_mask=False,
    eos_id=0,
)


def _stored(message: Message) -> Stored[Message]:
    envelope = Envelope(id="i", type="t", source="s", time="", run_id="r")
    return Stored(sequence=1, time=datetime.now(UTC), envelope=envelope, message=message)


@pytest.mark.parametrize(
    ("ending", "is_empty", "is_over"),
    [
        (RunCancelled(run_id="r", mode="now"), True, True),
        (RunFailed(run_id="r", stage="train", message="no memory"), True, True),
        (None, True, False),
        (RunCompleted(run_id="r", outcome="promoted"), False, True),
    ],
)
def test_a_run_that_was_cut_off_before_its_first_checkpoint_owes_nothing_and_one_that_completed_owes_all(
    tmp_path: Path, ending: Message | None, is_empty: bool, is_over: bool
) -> None:
    objects = LocalObjects(tmp_path / "objects")
    (tmp_path / "dataset").mkdir()
    objects.publish(tmp_path / "dataset", "datasets/d", META.as_json())
    counts = {"num_inputs": 9, "num_kept": 9, "num_held_out": 0, "num_tokens": 641, "num_windows": 10}
    told: list[Message | None] = [
        RunAccepted(run_id="r", recipe=RECIPE.as_json(), recipe_sha256=RECIPE.sha256()),
        DatasetPublished(
            run_id="r",
            dataset_version="d",
            uri="datasets/d",
            tokenizer_uri="",
            evalset_uri="",
            dropped={},
            context_length=64,
            **counts,
        ),
        ending,
    ]
    stored = [_stored(message) for message in told if message is not None]
    verdict = ledger_verdict(stored, objects)
    assert (verdict.is_empty, verdict.ok, verdict.is_over) == (is_empty, is_empty, is_over)
    if isinstance(ending, RunCancelled | RunFailed):
        assert ledger_verdict([stored[0], stored[-1]], objects).is_empty  # before there was a dataset
    else:
        with pytest.raises(NotMeasurableError, match="has not published its dataset version"):
            ledger_verdict(stored[:1], objects)
