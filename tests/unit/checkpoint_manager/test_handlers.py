from pathlib import Path

import pytest
from pydantic import ValidationError

from ropewalk.checkpoint_manager.domain.keys import ledger_key, quarantine_key
from ropewalk.checkpoint_manager.handlers import (
    RunHoldings,
    conclude,
    pin_checkpoint,
    prune_now,
    roll_back,
    verify_checkpoint,
)
from ropewalk.delivery.outcome import Done, Reject
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    ModelPromoted,
    ModelRolledBack,
    PinCheckpoint,
    PruneCheckpoints,
    RollBackModel,
)
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import RunAccepted, RunCompleted
from ropewalk.events.serving import TrafficShifted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects


def a_checkpoint_written(objects: LocalObjects, tmp_path: Path, step: int) -> CheckpointSaved:
    folder = tmp_path / f"new-{step}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights of step %d" % step)
    (folder / "ledger.jsonl").write_text(f'{{"step":{step},"samples":[1,2]}}\n')
    uri = f"runs/r/checkpoints/7-{step}"
    manifest = objects.publish(folder, uri, {"step": step})
    return CheckpointSaved(
        run_id="r",
        checkpoint_id=f"r-7-{step}",
        epoch=7,
        step=step,
        uri=uri,
        manifest_sha256=manifest.sha256,
        num_bytes=manifest.num_bytes,
        blocked_s=0.0,
    )


def an_acceptance() -> RunAccepted:
    recipe = resolve_recipe({"base": "python-stdlib-tiny", "training": {"keep_history": 0}})
    return RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256())


async def handle(event: CheckpointSaved, timeline, objects: LocalObjects) -> tuple:
    """Handle an event and put what follows on the timeline, as delivery does."""
    outcome = await verify_checkpoint(event, timeline, objects, RunHoldings())
    assert isinstance(outcome, Done)
    timeline.messages += [event, *outcome.messages]
    return outcome.messages


async def test_a_whole_checkpoint_is_committed_and_its_ledger_copied(timeline, objects, tmp_path) -> None:
    saved = a_checkpoint_written(objects, tmp_path, 10)
    (committed,) = await handle(saved, timeline, objects)
    assert isinstance(committed, CheckpointCommitted)
    assert (committed.uri, committed.manifest_sha256) == (saved.uri, saved.manifest_sha256)
    copy = objects.fetch(ledger_key("r", "r-7-10")) / "ledger.jsonl"
    assert copy.read_text() == '{"step":10,"samples":[1,2]}\n'


async def test_a_checkpoint_with_one_changed_byte_is_moved_to_quarantine(timeline, objects, tmp_path) -> None:
    saved = a_checkpoint_written(objects, tmp_path, 10)
    (objects.fetch(saved.uri) / "model.safetensors").write_bytes(b"weights of step 11")
    (quarantined,) = await handle(saved, timeline, objects)
    assert isinstance(quarantined, CheckpointQuarantined)
    assert quarantined.file == "model.safetensors"
    assert "SHA-256" in quarantined.reason
    assert quarantined.uri == quarantine_key("r-7-10")
    assert not objects.exists(saved.uri)
    assert objects.exists(quarantined.uri)


async def test_a_redelivery_after_quarantine_gives_the_same_reason(timeline, objects, tmp_path) -> None:
    saved = a_checkpoint_written(objects, tmp_path, 10)
    (objects.fetch(saved.uri) / "ledger.jsonl").write_text("{}")
    first = await verify_checkpoint(saved, timeline, objects, RunHoldings())
    assert await verify_checkpoint(saved, timeline, objects, RunHoldings()) == first


async def test_a_checkpoint_without_manifest_is_quarantined(timeline, objects, tmp_path) -> None:
    saved = a_checkpoint_written(objects, tmp_path, 10)
    (objects.fetch(saved.uri) / "manifest.json").unlink()
    (quarantined,) = await handle(saved, timeline, objects)
    assert isinstance(quarantined, CheckpointQuarantined)
    assert quarantined.file == "manifest.json"
    assert (objects.root / quarantine_key("r-7-10") / "model.safetensors").is_file()


async def test_a_checkpoint_under_another_manifest_than_announced_is_quarantined(timeline, objects, tmp_path) -> None:
    saved = a_checkpoint_written(objects, tmp_path, 10).model_copy(update={"manifest_sha256": "f" * 64})
    (quarantined,) = await handle(saved, timeline, objects)
    assert isinstance(quarantined, CheckpointQuarantined)
    assert "announced" in quarantined.reason


async def test_the_policy_deletes_the_oldest_and_its_ledger_survives(timeline, objects, tmp_path) -> None:
    timeline.messages.append(an_acceptance())  # keeps 3
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    answers = [await handle(event, timeline, objects) for event in saved]
    assert [type(message) for message in answers[2]] == [CheckpointCommitted]
    pruned = answers[3][1]
    assert isinstance(pruned, CheckpointPruned)
    assert pruned.checkpoint_id == "r-7-10"
    assert [objects.exists(event.uri) for event in saved] == [False, True, True, True]
    assert objects.exists(ledger_key("r", "r-7-10"))


async def test_a_redelivery_for_a_pruned_checkpoint_is_done_without_noise(timeline, objects, tmp_path) -> None:
    timeline.messages.append(an_acceptance())
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    for event in saved:
        await handle(event, timeline, objects)
    assert await verify_checkpoint(saved[0], timeline, objects, RunHoldings()) == Done()


async def test_a_saving_published_again_after_its_checkpoint_was_pruned_is_not_taken_for_a_broken_one(
    timeline, objects, tmp_path
) -> None:
    timeline.messages.append(an_acceptance())
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    for event in saved:
        await handle(event, timeline, objects)
    timeline.messages.append(saved[0])
    timeline.ids[len(timeline.messages)] = str(timeline.messages.index(saved[0]) + 1)
    assert await verify_checkpoint(saved[0], timeline, objects, RunHoldings()) == Done()


async def test_a_redelivery_repeats_the_pruning_when_its_event_was_lost(timeline, objects, tmp_path) -> None:
    timeline.messages.append(an_acceptance())
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    for event in saved[:3]:
        await handle(event, timeline, objects)
    first = await verify_checkpoint(saved[3], timeline, objects, RunHoldings())  # its answer never reached the bus
    assert await verify_checkpoint(saved[3], timeline, objects, RunHoldings()) == first
    assert await verify_checkpoint(saved[0], timeline, objects, RunHoldings()) == Done()


async def test_without_an_accepted_recipe_everything_stays(timeline, objects, tmp_path) -> None:
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    for event in saved:
        await handle(event, timeline, objects)
    assert all(objects.exists(event.uri) for event in saved)


def a_decision(decision: str) -> GateDecided:
    gain = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="m")
    return GateDecided(
        run_id="r",
        checkpoint_id="c",
        export_uri="e",
        evaluation_uri="v",
        decision=decision,
        reasons=(),
        baseline="b",
        comparison=gain,
    )


@pytest.mark.parametrize(("decision", "outcome"), [("reject", "rejected"), ("need_more", "need_more")])
async def test_a_gate_that_does_not_promote_ends_the_run(timeline, decision, outcome) -> None:
    timeline.messages.append(an_acceptance())
    ended = await conclude(a_decision(decision), timeline)
    assert ended == Done((RunCompleted(run_id="r", outcome=outcome, model="pycode"),))


async def test_a_run_that_is_only_judged_ends_as_judged(timeline) -> None:
    timeline.messages.append(an_acceptance())
    ended = await conclude(a_decision("reject").model_copy(update={"judged_only": True}), timeline)
    assert ended == Done((RunCompleted(run_id="r", outcome="judged", model="pycode"),))


@pytest.mark.parametrize("verdict", ["deferred", "unknown"])
async def test_a_decision_that_waits_or_that_nobody_here_knows_ends_no_run(timeline, verdict) -> None:
    assert await conclude(a_decision("need_more").model_copy(update={"verdict": verdict}), timeline) == Done()


async def test_a_gate_that_promotes_leaves_the_run_to_serving(timeline) -> None:
    assert await conclude(a_decision("promote"), timeline) == Done()


async def test_a_pin_holds_a_checkpoint_against_the_policy_until_it_is_taken_back(timeline, objects, tmp_path) -> None:
    timeline.messages.append(an_acceptance())
    saved = [a_checkpoint_written(objects, tmp_path, step) for step in (10, 20, 30, 40)]
    await handle(saved[0], timeline, objects)
    timeline.messages += await answers_to_pin(timeline, pinned=True)
    for event in saved[1:]:
        await handle(event, timeline, objects)
    assert objects.exists(saved[0].uri)
    timeline.messages += await answers_to_pin(timeline, pinned=False)
    outcome = await prune_now(PruneCheckpoints(run_id="r"), timeline, objects, RunHoldings())
    assert isinstance(outcome, Done)
    assert [message.checkpoint_id for message in outcome.messages] == ["r-7-10"]
    assert not objects.exists(saved[0].uri)


async def answers_to_pin(timeline, *, pinned: bool) -> tuple:
    wish = PinCheckpoint(run_id="r", checkpoint_id="r-7-10", pinned=pinned)
    outcome = await pin_checkpoint(wish, timeline, RunHoldings())
    assert isinstance(outcome, Done)
    return outcome.messages


async def test_only_a_verified_checkpoint_can_be_pinned(timeline) -> None:
    outcome = await pin_checkpoint(PinCheckpoint(run_id="r", checkpoint_id="r-1-1"), timeline, RunHoldings())
    assert isinstance(outcome, Reject)


def a_promotion(objects: LocalObjects, tmp_path: Path) -> ModelPromoted:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    manifest = objects.publish(folder, "exports/r-7-40", {})
    return ModelPromoted(
        run_id="r",
        model="ant",
        model_version=1,
        alias="production",
        checkpoint_id="r-7-40",
        export_uri="exports/r-7-40",
        manifest_sha256=manifest.sha256,
        evaluation_uri="e",
    )


def a_shift(to: int) -> TrafficShifted:
    return TrafficShifted(
        run_id="x", model="ant", alias="production", model_version=to, previous_version=0, checkpoint_id="c"
    )


WISH = RollBackModel(run_id="r", model="ant", model_version=1, from_version=2)


async def test_an_alias_may_go_back_to_what_was_promoted_to_it(timeline, objects, tmp_path) -> None:
    timeline.messages += [a_promotion(objects, tmp_path), a_shift(2)]
    outcome = await roll_back(WISH, timeline, objects)
    assert isinstance(outcome, Done)
    (back,) = outcome.messages
    assert isinstance(back, ModelRolledBack)
    assert (back.model_version, back.from_version, back.export_uri) == (1, 2, "exports/r-7-40")
    timeline.messages.append(a_shift(3))
    elsewhere = await roll_back(WISH, timeline, objects)
    assert isinstance(elsewhere, Reject)
    assert elsewhere.reason == "production of ant is at version 3, not 2: ask again"
    timeline.messages.append(a_shift(1))
    assert await roll_back(WISH, timeline, objects) == Done()


@pytest.mark.parametrize("field", ["model_version", "from_version"])
def test_a_version_number_without_bound_is_no_request(field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field}\n.*less than or equal to 2147483647"):
        RollBackModel.model_validate(WISH.model_dump() | {field: 10**400})


async def test_nothing_goes_back_to_a_damaged_export_or_to_what_was_never_promoted(timeline, objects, tmp_path) -> None:
    never = await roll_back(WISH, timeline, objects)
    assert isinstance(never, Reject)
    assert "ant@1 was never promoted to production" in never.reason
    timeline.messages += [a_promotion(objects, tmp_path), a_shift(2)]
    (objects.fetch("exports/r-7-40") / "model.safetensors").write_bytes(b"welghts")
    damaged = await roll_back(WISH, timeline, objects)
    assert isinstance(damaged, Reject)
    assert "the export of ant@1 does not verify (model.safetensors" in damaged.reason
