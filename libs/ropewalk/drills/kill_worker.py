"""kill -9 of one training worker: the group starts again from the last checkpoint and no sample is lost."""

from ropewalk.bus.codec import Stored
from ropewalk.client.ledgers import ledger_verdict
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import LogWatch, timeline_of
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed
from ropewalk.drills.scoring import Timeline, first_after, held_stages, score_worker, stage_ended, worker_to_kill
from ropewalk.events.base import Message
from ropewalk.events.training import TrainingCompleted, TrainingResumed
from ropewalk.storage.connect import StoreAddress

NAME = "kill-worker"


async def prepare(ground: Ground) -> Target:
    """Wait until a run trains and has a checkpoint to go back to."""
    wanted = ground.options.run_id
    timeline = await timeline_of(ground.bus, f"evt.run.*.*.{wanted or '*'}")
    training = [each for each in held_stages(timeline) if each.stage == "train"]
    if not training:
        raise NotPreparedError(
            f"run {wanted!r} is not in training now"
            if wanted
            else "no run is in training now: submit one and wait for it"
        )
    held = training[-1]
    ground.say(f"waiting until run {held.run_id} has a checkpoint")
    async with LogWatch(ground.bus, f"evt.*.*.*.{held.run_id}") as watch:
        await watch.until(lambda seen: worker_to_kill(seen) or _is_over(seen), ground.options.patience_s)
        pid = worker_to_kill(watch.timeline)
    worker = pid and ground.crew.worker(pid)
    if not worker:
        raise NotPreparedError(
            f"run {held.run_id} has no training worker within reach that has saved a checkpoint: try a longer run"
        )
    description = f"training worker {pid} of run {held.run_id}"
    return Target(description=description, run_id=held.run_id, running=worker, held=held)


async def play(scene: Scene) -> Observed:
    """Kill it and follow the run to the end of its training, as long as the patience lasts."""
    held = scene.target.held
    assert held is not None
    await scene.ground.crew.kill(scene.instance)
    async with LogWatch(scene.ground.bus, f"evt.*.*.*.{held.run_id}") as watch:
        await watch.until(lambda seen: first_after(seen, scene.mark, TrainingResumed)[1], scene.patience_s)
        await watch.until(lambda seen: stage_ended(seen, held), scene.patience_s)
        return score(watch.timeline, scene.mark, scene.ground.client.settings.store)


def score(timeline: Timeline, mark: Stored[Message], store: StoreAddress) -> Observed:
    """What came of the worker that was killed at the mark; the ledger is proved once training has ended."""
    proof = ledger_verdict(list(timeline), store.connect()) if _is_over(timeline) else None
    return score_worker(timeline, mark, proof)


def _is_over(timeline: Timeline) -> bool:
    return any(isinstance(stored.message, TrainingCompleted) for stored in timeline)
