"""Task sets that are frozen, and runs that are judged by them, with small models and a bus in memory."""

import json
from pathlib import Path
from typing import Any

from parts.task_set_files import write_task_set

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator.adapters.judging.summoning import Means
from ropewalk.evaluator.domain import budget
from ropewalk.evaluator.domain.promotions import FACTS, Promotions
from ropewalk.evaluator.handlers import evaluate_checkpoint
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported, ModelPromoted
from ropewalk.events.data import BlockedTaskSet
from ropewalk.events.evaluation import EvaluationCompleted, EvaluationReopened, GateDecided
from ropewalk.events.task_set import TaskSetFrozen
from ropewalk.tasksets.shelf import read_task_set, store_task_set


class Sets:
    """Task sets that are frozen in the log and lie in the store."""

    def __init__(self, world, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.facts: list[TaskSetFrozen] = []

    def add(self, name: str, items: list[dict[str, Any]], **fields: Any) -> str:
        found = read_task_set(write_task_set(self.folder / name, items, id=name, **fields))
        store_task_set(self.world.objects, found, self.folder / f"{name}-stored")
        self.facts.append(TaskSetFrozen(task_set_id=name, version=1, content=found.content))
        return f"{name}@1"

    async def judge(
        self, export: str, production: str = "", *, is_blocked: bool = True, look: int = 1, **evaluation: Any
    ):
        stage = self.stage(production, is_blocked=is_blocked, **evaluation)
        if look > 1:
            stage.bus.messages.append(EvaluationReopened(run_id="r", checkpoint_id="r-7-40", look=look))
        completed, *_, decided = await judged(stage, an_export(export))
        report = json.loads((self.world.objects.fetch(completed.uri) / "report.json").read_text())
        return completed, decided, report

    def stage(self, production: str = "", *, is_blocked: bool = True, **evaluation: Any):
        """Before a checkpoint of the run is judged."""
        names = [f"{each.task_set_id}@1" for each in self.facts]
        stage = self.world.stage(evaluation={"task_sets": names, "gate": "toy", **evaluation})
        blocked = [
            BlockedTaskSet(task_set=name, content=each.content, num_items=1, num_dropped=2)
            for name, each in zip(names, self.facts, strict=True)
        ]
        (dataset,) = stage.bus.messages
        stage.bus.messages[:] = [dataset.model_copy(update={"task_sets": tuple(blocked) if is_blocked else ()})]
        stage.bus.messages += self.facts
        if production:
            stage.bus.messages.append(a_promotion(production, 1))
        return stage


def a_promotion(name: str, version: int, model: str = "pycode") -> ModelPromoted:
    """An export that serves, with which the next one is compared."""
    return ModelPromoted(
        run_id=f"earlier-{version}",
        model=model,
        model_version=version,
        alias="production",
        checkpoint_id=f"earlier-{version}-1-1",
        export_uri=f"exports/{name}",
        manifest_sha256="0",
        evaluation_uri="e",
    )


def an_export(name: str) -> CheckpointExported:
    return CheckpointExported(
        run_id="r",
        checkpoint_id="r-7-40",
        checkpoint_uri="c",
        step=1,
        uri=f"exports/{name}",
        manifest_sha256="0",
        num_parameters=1,
        num_bytes=1,
    )


async def judged(stage: Any, event: CheckpointExported) -> tuple[Message, ...]:
    """What the evaluator says of it."""
    known = RunningFold(Promotions(), lambda state, item: state.add(item.message), *FACTS)
    tries = RunningFold(budget.Tries(), lambda state, item: state.add(item.message), *budget.FACTS)
    return await evaluate_checkpoint(stage, event, Means(task_minutes=5.0), known, tries)


async def judge(stage: Any, name: str) -> tuple[EvaluationCompleted, GateDecided]:
    """What is said of an export without judged task sets."""
    completed, decided = await judged(stage, an_export(name))
    assert isinstance(completed, EvaluationCompleted)
    assert isinstance(decided, GateDecided)
    return completed, decided
