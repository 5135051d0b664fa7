"""The handlers of serving over the memory backend and a log in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parts.memory_inference import MemoryInference

from ropewalk.bus.codec import Stored
from ropewalk.delivery.outcome import Done
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted, ModelRolledBack
from ropewalk.events.envelope import Envelope
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.recipes.judgement import PromotionRecipe
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.handlers import Handlers
from ropewalk.serving.settings import Settings
from ropewalk.stages.context import StageContext

_ESTIMATE = Estimate(metric="m", value=0, lower=0, upper=0, level=0.95, num_items=1, method="none")
_RECIPE = Recipe(sources=(SourceRecipe(path="/", licence="CC0-1.0"),), promotion=PromotionRecipe(model="demo"))


class Log(list[Message]):
    """The bus, reduced to its log."""

    async def end(self) -> int:
        return len(self)

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Stored[Message]]:
        for sequence, message in enumerate(self[after:], start=after + 1):
            envelope = Envelope(id=str(sequence), type="", source="", time="", run_id=message.run_id)
            yield Stored(sequence=sequence, time=datetime.now(UTC), envelope=envelope, message=message)

    async def last(self, kind: type[Message], run_id: str) -> Message | None:
        return next((one for one in reversed(self) if isinstance(one, kind) and one.run_id == run_id), None)

    async def publish(self, message: Message, **_: Any) -> None:
        self.append(message)


class Bench:
    """The handlers and everything around them."""

    def __init__(self, objects: Any, folder: Path) -> None:
        self.log = Log()
        self.inference = MemoryInference()
        self.fleet = Fleet({"triton": self.inference}, objects)
        self.handlers = Handlers(Settings(state_dir=folder), self.fleet, Admission(8))
        self._folder = folder

    async def deploy(self, run_id: str, number: int, decision: str = "promote") -> tuple[Message, ...]:
        context = StageContext(
            stage="deploy",
            run_id=run_id,
            epoch=1,
            attempt=1,
            cause_id="cause",
            recipe=_RECIPE,
            bus=self.log,  # type: ignore[arg-type]
            objects=None,  # type: ignore[arg-type]
            scratch=self._folder,
        )
        event = GateDecided(
            run_id=run_id,
            checkpoint_id=f"{run_id}-1-9",
            export_uri=f"exports/{number}",
            evaluation_uri="",
            decision=decision,  # type: ignore[arg-type]
            reasons=(),
            baseline="",
            comparison=_ESTIMATE,
        )
        messages = await self.handlers.deploy(context, event)
        self.log.extend(messages)
        return messages

    async def promote(self, run_id: str, number: int) -> Any:
        event = ModelPromoted(
            run_id=run_id,
            model="demo",
            model_version=number,
            alias="production",
            checkpoint_id=f"{run_id}-1-9",
            export_uri="",
            manifest_sha256="",
            evaluation_uri="",
        )
        return await self.handlers.promote(event, self.log)  # type: ignore[arg-type]


def kinds(outcome: Any) -> list[type[Message]]:
    assert isinstance(outcome, Done)
    return [type(message) for message in outcome.messages]


async def two_promotions(served: Bench) -> None:
    for run_id, number in (("first", 1), ("second", 2)):
        await served.deploy(run_id, number)
        served.log.extend((await served.promote(run_id, number)).messages)


def a_rollback(to: int, since: int, run_id: str = "first") -> ModelRolledBack:
    return ModelRolledBack(
        run_id=run_id,
        model="demo",
        model_version=to,
        from_version=since,
        alias="production",
        checkpoint_id=f"{run_id}-1-9",
        export_uri="",
        manifest_sha256="",
        evaluation_uri="",
    )
