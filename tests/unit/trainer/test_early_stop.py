"""When a training stops by its validations, and which checkpoint it ends with, follows from the log."""

import asyncio
from pathlib import Path

import pytest

from ropewalk.admin.access import rights_of
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointSaved, CheckpointValidated
from ropewalk.events.data import DatasetPublished
from ropewalk.events.training import SearchCompleted
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.stages.errors import StageError
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.validations import Validations
from ropewalk.trainer.adapters.worker.job import Finished
from ropewalk.trainer.handlers import train
from ropewalk.trainer.settings import Settings


def uri_of(step: int) -> str:
    return f"runs/r/checkpoints/1-{step}"


def a_checkpoint(step: int) -> list[Message]:
    fields = {"run_id": "r", "checkpoint_id": f"r-1-{step}", "step": step, "uri": uri_of(step), "manifest_sha256": "0"}
    return [CheckpointSaved(epoch=1, num_bytes=1, blocked_s=0.0, **fields), CheckpointCommitted(**fields)]


def a_validation(step: int, loss: float) -> CheckpointValidated:
    numbers = {"bits_per_byte": 1.0, "num_tokens": 9, "num_items": 4, "seconds": 1.0}
    return CheckpointValidated(run_id="r", checkpoint_id=f"r-1-{step}", step=step, loss=loss, **numbers)


def finished(step: int, *, stopped: bool = True) -> Finished:
    return Finished(
        step=step,
        loss=1.0,
        tokens=9,
        seconds=1.0,
        stopped=stopped,
        checkpoint_id=f"r-1-{step}",
        uri=uri_of(step),
        num_steps=step,
    )


@pytest.fixture
def stage(stage_here, tmp_path: Path):
    """Of a run with four checkpoints, the second of which is gone from the store."""
    objects = LocalObjects(tmp_path / "objects")
    made = stage_here(objects, tmp_path, Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),)))
    for step in (10, 20, 30, 40):
        made.bus.messages += a_checkpoint(step)
        if step != 20:
            (tmp_path / "new").mkdir()
            (tmp_path / "new" / "model.safetensors").write_text(str(step))
            objects.publish(tmp_path / "new", uri_of(step), {})
    return made


def validations(stage, **training: object) -> Validations:
    stage.recipe = complete(
        stage.recipe.model_copy(update={"plan": None, "training": stage.recipe.training.model_copy(update=training)})
    )
    return Validations(stage)


async def test_it_stops_after_so_many_validations_without_a_lower_loss_and_whoever_trains_on_stops_too(stage) -> None:
    watched, stop_file = validations(stage, early_stop=2), stage.scratch / "stop"
    stopping = asyncio.create_task(watched.stop_early(stop_file))
    stage.bus.messages += [a_validation(10, 2.0), a_validation(20, 2.1)]
    assert not stopping.done()
    stage.bus.messages.append(a_validation(30, 2.0))
    await asyncio.wait_for(stopping, 5)
    assert stop_file.exists()

    stop_file.unlink()
    stage.bus.messages.append(a_validation(40, 1.0))  # it came while the workers saved, and the service was killed
    await asyncio.wait_for(Validations(stage).stop_early(stop_file), 5)
    assert stop_file.exists()
    ended = await Validations(stage).chosen(finished(40))
    assert ended.stopped_by == "early_stop: no lower validation loss for 2 checkpoints"
    assert ended.step == 40


def test_the_trainer_may_hear_what_it_follows() -> None:
    followed = f"{CheckpointValidated.subject_prefix()}.*"
    assert followed in rights_of("trainer").subscribe


async def test_the_best_checkpoint_is_taken_once_the_last_one_is_validated_and_the_number_of_steps_stays(stage) -> None:
    watched = validations(stage, export="best")
    stage.bus.messages += [a_validation(10, 2.0), a_validation(30, 1.5)]
    choosing = asyncio.create_task(watched.chosen(finished(40, stopped=False)))
    await asyncio.sleep(0)
    assert not choosing.done()
    stage.bus.messages.append(a_validation(40, 1.8))
    ended = await asyncio.wait_for(choosing, 5)
    assert (ended.step, ended.checkpoint_id, ended.uri, ended.num_steps) == (30, "r-1-30", uri_of(30), 40)
    assert ended.stopped_by == ""


async def test_the_last_checkpoint_is_taken_where_nobody_says_otherwise_or_the_best_is_gone(stage) -> None:
    stage.bus.messages += [a_validation(20, 1.0), a_validation(40, 2.0)]
    assert await validations(stage).chosen(finished(40)) == finished(40)
    assert (await validations(stage, export="best").chosen(finished(40))).step == 40  # 20 is not in the store


async def test_a_last_checkpoint_that_nobody_reads_is_not_waited_for_without_end(stage) -> None:
    stage.bus.messages.append(a_validation(10, 1.0))
    assert (await validations(stage, export="best").chosen(finished(40), within_s=0.05)).step == 10


@pytest.mark.parametrize("training", [{"export": "best"}, {"early_stop": 2}])
async def test_what_needs_documents_to_watch_by_is_refused_where_the_dataset_has_none(stage, training) -> None:
    validations(stage, **training)
    stage.bus.messages.append(
        DatasetPublished.model_construct(run_id="r", num_dev=0)  # as of before there were any
    )
    with pytest.raises(StageError, match=r"keeps no documents to watch training by, which takes 80"):
        await train(stage, SearchCompleted.model_construct(run_id="r"), Settings())
