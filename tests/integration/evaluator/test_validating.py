"""Checkpoints are read beside a training, and what cannot be read hurts nobody."""

import math
import multiprocessing
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from transformers import AutoConfig

from ropewalk.bus.codec import Stored
from ropewalk.corpus.document import DEV_ITEMS
from ropewalk.evaluator import contract
from ropewalk.evaluator.adapters.corpus import read_items
from ropewalk.evaluator.adapters.dev_loss import DevOrder, _Reader
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.validating import Validator
from ropewalk.evaluator.domain.dev import is_read_beside, tokens_to_read
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointPruned, CheckpointValidated
from ropewalk.events.data import DatasetPublished
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunAccepted, RunEnding
from ropewalk.events.training import TrainingCompleted
from ropewalk.model.lora import add_adapters, is_adapter, lora_config, merged, save_adapter
from ropewalk.model.weights import load_model, save_weights
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import parse_recipe


def committed(name: str, step: int, run_id: str = "r") -> Stored[Message]:
    event = CheckpointCommitted(
        run_id=run_id, checkpoint_id=f"{run_id}-1-{step}", step=step, uri=f"exports/{name}", manifest_sha256="0"
    )
    envelope = Envelope(id=f"{run_id}/{step}", type="t", source="s", time="", run_id=run_id)
    return Stored(step, datetime.now(UTC), envelope, event)


def a_training(world, evalset: str, run_id: str = "r", num_dev: int = 10, minutes: float = 10.0) -> list[Message]:
    recipe = complete(resolve_recipe({"base": "python-stdlib-tiny", "minutes": minutes}))
    dataset = next(
        each for each in world.stage(f"evalsets/{evalset}").bus.messages if isinstance(each, DatasetPublished)
    )
    accepted = RunAccepted(
        run_id=run_id, recipe=recipe.model_dump(mode="json"), recipe_sha256="0", deadline_unix=0.0, owner="me"
    )
    return [accepted, dataset.model_copy(update={"run_id": run_id, "num_dev": num_dev})]


@pytest.fixture
async def validator(world) -> AsyncIterator[Validator]:
    made = Validator(world.objects, contract.VALIDATE, niceness=0)
    yield made
    await made._process.close()


async def test_every_checkpoint_is_read_and_one_that_is_broken_or_of_an_ended_run_is_left_out(
    world, validator, timeline
) -> None:
    timeline.messages += [
        *a_training(world, "few"),
        *a_training(world, "few", "old"),
        *a_training(world, "code", "bare"),
    ]
    timeline.messages.append(RunEnding(run_id="old", kind="failed", event_id="1"))

    await validator.take([committed("hardly", 5)], timeline)
    await validator.take([committed("nowhere", 7)], timeline)  # it was pruned
    await validator.take([committed("untrained", 8), committed("longer", 9)], timeline)  # it lags: the newest only
    await validator.take([committed("longer", 1, "old"), committed("longer", 1, "bare")], timeline)

    said = [each for each in timeline.messages if isinstance(each, CheckpointValidated)]
    assert [each.checkpoint_id for each in said] == ["r-1-5", "r-1-9"]
    assert said[1].loss < said[0].loss - 0.5
    assert said[0].num_tokens == said[1].num_tokens > 0
    assert all(each.num_items == 10 and each.bits_per_byte > 0 for each in said)


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [({}, False), ({"export": "best"}, True), ({"validate_every": 0}, True)],
)
async def test_a_base_model_is_read_beside_its_training_only_where_that_decides_or_nobody_else_looks(
    world, validator, timeline, changes, is_read
) -> None:
    accepted, dataset = a_training(world, "few")
    assert isinstance(accepted, RunAccepted)
    recipe = parse_recipe(accepted.recipe)
    plan = recipe.derived.model_copy(update={"validate_every": 10, **changes})
    recipe = recipe.model_copy(update={"base_model": "hub/name", "mode": "finetune", "plan": plan})
    timeline.messages += [accepted.model_copy(update={"recipe": recipe.model_dump(mode="json")}), dataset]
    event = committed("hardly", 5).message
    assert isinstance(event, CheckpointCommitted)
    assert (await validator._due("r", [event], timeline) != []) == is_read


async def test_what_was_left_out_while_it_trained_is_read_once_it_has_ended_if_it_stands(
    world, validator, timeline
) -> None:
    timeline.messages += a_training(world, "few", minutes=0.5)  # 30 checkpoints: no more than each seventh in that time
    steps = {20: "hardly", 40: "barely", 60: "nowhere", 140: "longer"}
    for step, name in steps.items():
        timeline.messages.append(committed(name, step).message)
        await validator.take([committed(name, step)], timeline)
    assert said_in(timeline) == [140]

    done = TrainingCompleted(
        run_id="r", epoch=1, step=600, checkpoint_id="r-1-600", uri="x", loss=1.0, tokens=1, seconds=1.0
    )
    timeline.messages += [CheckpointPruned(run_id="r", checkpoint_id="r-1-60", step=60, uri="x"), done]
    timeline.messages.append(RunEnding(run_id="r", kind="completed", event_id="1"))
    ended = replace(committed("longer", 600), message=done)
    await validator.take([ended], timeline)
    await validator.take([ended], timeline)  # told twice
    assert said_in(timeline) == [140, 20, 40]
    timeline.messages.append(committed("untrained", 600).message)  # verified after training had ended
    await validator.take([committed("untrained", 600)], timeline)
    assert said_in(timeline) == [140, 20, 40, 600]


def said_in(timeline) -> list[int]:
    return [each.step for each in timeline.messages if isinstance(each, CheckpointValidated)]


def test_of_a_conversation_the_answers_count_and_another_checkpoint_is_read_on_the_same_tokens(world, tmp_path) -> None:
    evalset = world.objects.fetch("evalsets/talk")
    (tmp_path / DEV_ITEMS).write_bytes((evalset / "items.jsonl.zst").read_bytes())
    order = DevOrder(
        checkpoint=world.objects.fetch("exports/hardly"),
        tokenizer=world.objects.fetch("tokenizers/t"),
        evalset=tmp_path,
        num_tokens=10_000,
    )
    reader = _Reader(order)
    first, second = reader.read(order.checkpoint), reader.read(world.objects.fetch("exports/longer"))
    answers = [
        turn.content for item in read_items(tmp_path, DEV_ITEMS) for turn in item.turns if turn.role == "assistant"
    ]
    assert first.num_bytes == sum(map(len, answers))
    assert first.num_tokens == second.num_tokens < sum(map(len, answers))
    judged = ScoredModel(order.checkpoint, tokenizer=order.tokenizer)  # as the evaluation itself measures
    assert first.nats / math.log(2) == pytest.approx(sum(judged.bits(read_items(tmp_path, DEV_ITEMS))), rel=1e-6)
    assert second.nats != first.nats
    few = _Reader(replace(order, num_tokens=60)).read(order.checkpoint)
    assert 0 < few.num_items < first.num_items


def test_of_an_adapter_on_an_import_its_weights_are_read_with_those_of_the_base(world, tmp_path) -> None:
    evalset, base = world.objects.fetch("evalsets/few"), world.objects.fetch("exports/longer")
    config = lora_config(rank=2)
    adapted = dict(add_adapters(load_model(base), config, seed=1).named_parameters())
    for name, tensor in adapted.items():
        tensor.data += 0.1 * is_adapter(name)
    adapter, whole = tmp_path / "adapter", tmp_path / "whole"
    save_adapter(adapted, config, adapter)
    AutoConfig.from_pretrained(base).save_pretrained(adapter)
    save_weights(merged(adapted, config), AutoConfig.from_pretrained(base), whole)
    order = DevOrder(
        checkpoint=adapter, base=base, tokenizer=world.objects.fetch("tokenizers/t"), evalset=evalset, num_tokens=2000
    )
    found = _Reader(order).read(adapter)
    expected = _Reader(replace(order, checkpoint=whole, base=None)).read(whole)
    assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    untouched = _Reader(replace(order, checkpoint=base, base=None)).read(base)
    assert found.nats != pytest.approx(untouched.nats, rel=1e-3)


@pytest.mark.slow
async def test_a_reader_that_is_killed_costs_one_checkpoint_and_no_more(world, validator, timeline) -> None:
    timeline.messages += a_training(world, "few")
    await validator.take([committed("hardly", 5)], timeline)
    (reader,) = multiprocessing.active_children()
    reader.kill()
    await validator.take([committed("barely", 6)], timeline)
    await validator.take([committed("longer", 9)], timeline)
    assert said_in(timeline) in ([5, 9], [5, 6, 9])


@pytest.mark.parametrize(
    ("base", "minutes"), [("python-stdlib-tiny", 60), ("python-stdlib", 2), ("python-stdlib", 0.2)]
)
def test_what_is_read_while_it_trains_is_a_hundredth_of_the_work_however_close_checkpoints_lie(base, minutes) -> None:
    plan = complete(resolve_recipe({"base": base, "minutes": minutes})).derived
    steps = range(0, plan.total_steps, plan.checkpoint_every)
    num_read = sum(is_read_beside(plan, step) for step in steps[1:])
    learnt = plan.total_steps * plan.batch_size * plan.context_length
    assert 0.4 * 0.01 < num_read * tokens_to_read(plan) / 3 / learnt <= 1.01 * 0.01
    decides = plan.model_copy(update={"export": "best"})
    assert all(is_read_beside(decides, step) for step in steps)
