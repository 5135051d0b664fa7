"""Takes requests about judges one by one, asks the judge, and says what came of it.

Asking takes minutes and belongs to no run, so it is neither a handler nor a stage: a message is kept while it is worked
on, and comes again to another instance if this one dies.
"""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ropewalk.bus.batches import Batch
from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.bus.once import once
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.evaluator.adapters.judging.examining import Heard, HearingOrder, Report, audit, examine
from ropewalk.evaluator.adapters.judging.summoning import key_for, model_of
from ropewalk.evaluator.domain.judging.drift import after_audit
from ropewalk.evaluator.settings import Settings
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.foreign import one_line
from ropewalk.events.judge import (
    AuditJudge,
    JudgeProgressed,
    JudgeRefused,
    JudgeRegistered,
    RegisterJudge,
)
from ropewalk.projections.judges import JudgeStanding, standing_of_judge
from ropewalk.stages.child import run_child
from ropewalk.stages.errors import ChildDiedError, StageError, WorkRaisedError
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.judges.labels import JudgedAnswer
from ropewalk.tasksets.judges.shelf import RECORDED, ReadJudge, key_of, stored_judge
from ropewalk.usecases.endpoint import EndpointError

logger = logging.getLogger(__name__)
_KEEP_S, _TELL_S = 20.0, 5.0
_TRIES, _PAUSE_S = 3, 10.0
_REASON = 1_000  # characters
_OF_THE_REQUEST = (StageError, WorkRaisedError, ChildDiedError, TaskSetError, StorageError, EndpointError, OSError)


class _Asked:
    """A request, and how to tell how far it is."""

    def __init__(self, request: RegisterJudge | AuditJudge, cause: str, bus: Bus) -> None:
        self.request, self.bus = request, bus
        self._cause, self._told = cause, time.monotonic()

    async def tell(self, counts: tuple[int, int]) -> None:
        """At most every _TELL_S seconds: answers that are there, and answers that are wanted."""
        if time.monotonic() - self._told < _TELL_S:
            return
        self._told, of, (number, wanted) = time.monotonic(), self.request, counts
        said = JudgeProgressed(judge_id=of.judge_id, content=of.content, num_answers=number, num_asked=wanted)
        await self.bus.publish(said, cause_id=self._cause, key=f"progressed/{number}")


class JudgesDesk:
    """One judge is asked at a time."""

    def __init__(self, objects: ObjectStore, consumer: ConsumerSpec, settings: Settings) -> None:
        self._objects, self._consumer, self._settings = objects, consumer, settings

    async def run(self, bus: Bus) -> None:
        """For ever."""
        spec = self._consumer
        async for batch in bus.batches(spec, max_messages=1, max_wait_s=0.0):
            for raw, reason in batch.malformed:
                await bus.dead_letter(spec.stream, spec.durable, raw, reason)
            async with _kept(batch):
                for item in batch.items:
                    await self._settle(item, bus)
            await batch.ack()

    async def _settle(self, item: Stored[Message], bus: Bus) -> None:
        """The bus or the store may be away for a while; a request that fails for good must not come again for ever."""
        for _ in range(_TRIES):
            error = await outcome_or_error(self._say(item, bus))
            if error is None:
                return
            logger.error("%s failed", item.message.type_name(), exc_info=error)
            await asyncio.sleep(_PAUSE_S)

    async def _say(self, item: Stored[Message], bus: Bus) -> None:
        await bus.publish_all(await self.answer(item, bus), cause_id=item.envelope.id)

    async def answer(self, item: Stored[Message], bus: Bus) -> Sequence[Message]:
        """What follows from a request; a sentence where it cannot be done."""
        request = item.message
        assert isinstance(request, RegisterJudge | AuditJudge), "nothing else is taken"
        error = await outcome_or_error(self._answer(_Asked(request, item.envelope.id, bus)))
        if not isinstance(error, Exception):
            return error
        if not isinstance(error, _OF_THE_REQUEST):
            raise error
        logger.info("judge %s: %s", request.judge_id, one_line(str(error)))
        reason = one_line(str(error), _REASON)
        return (JudgeRefused(judge_id=request.judge_id, content=request.content, reason=reason),)

    async def _answer(self, asked: _Asked) -> Sequence[Message]:
        request = asked.request
        facts = [stored.message async for stored in once(asked.bus.read(f"evt.judge.*.*.{request.judge_id}"))]
        standing, found = standing_of_judge(facts), await self._stored(request.content)
        if (found.definition.id, found.content) != (request.judge_id, request.content):
            raise TaskSetError(f"{found.definition.id} lies under the content of {request.judge_id}")
        if isinstance(request, RegisterJudge):
            return await self._register(asked, found, standing)
        if standing is None or standing.is_suspended:
            word = "was never registered" if standing is None else "is suspended"
            raise TaskSetError(f"judge {request.judge_id} {word}: register it with labels")
        return await self._audit(asked, found, standing)

    async def _register(self, asked: _Asked, found: ReadJudge, standing: JudgeStanding | None) -> Sequence[Message]:
        judge_id, content = asked.request.judge_id, asked.request.content
        if standing is not None and standing.is_suspended and standing.card.labels_digest == found.labels_digest:
            raise TaskSetError(f"judge {judge_id} is suspended: it comes back with other labels only")
        if standing is not None and not standing.is_suspended and standing.content == content:
            raise TaskSetError(f"judge {judge_id} is registered with just this: nothing was asked")
        heard = await self._hear(examine, asked, content)
        assert heard.card is not None, "of a registration"
        await asyncio.to_thread(self._keep_said, content, heard.said)
        until = datetime.now(UTC) + timedelta(days=found.definition.valid_days)
        card = heard.card.model_copy(update={"valid_until": until.isoformat(timespec="seconds")})
        return (JudgeRegistered(judge_id=judge_id, content=content, card=card),)

    async def _audit(self, asked: _Asked, found: ReadJudge, standing: JudgeStanding) -> Sequence[Message]:
        if found.rubric.digest != standing.card.rubric_digest:
            raise TaskSetError("these labels are by another rubric: label by that of the judge, or register it anew")
        contents = (standing.content, *(each.content for each in standing.audits))
        known = {answer.item_id for content in contents for answer in (await self._stored(content)).answers}
        new = tuple(each for each in found.answers if each.labels and each.item_id not in known)
        if not new:
            raise TaskSetError("all of these answers were known to the judge's card or to an audit: label others")
        heard = await self._hear(audit, asked, standing.content, new)  # the judge as it was registered
        return after_audit(standing, asked.request.judge_id, asked.request.content, heard.identity, heard.residuals)

    async def _hear(
        self,
        work: Callable[[HearingOrder, Report], Heard],
        asked: _Asked,
        content: str,
        answers: tuple[JudgedAnswer, ...] = (),
    ) -> Heard:
        definition = (await self._stored(content)).definition
        model, digest = await asyncio.to_thread(model_of, self._objects, definition)
        order = HearingOrder(
            judge=await asyncio.to_thread(self._objects.fetch, key_of(content)),
            model=model,
            digest=digest,
            key=await asyncio.to_thread(key_for, self._settings.judge_keys, definition),
            minutes=self._settings.evaluator_task_minutes,
            threads=self._settings.evaluator_threads,
            answers=answers,
        )
        return await run_child(work, order, asked.tell)

    async def _stored(self, content: str) -> ReadJudge:
        return await asyncio.to_thread(lambda: stored_judge(self._objects.fetch(key_of(content))))

    def _keep_said(self, content: str, said: bytes) -> None:
        key = f"judge_answers/{content}"
        if not self._objects.exists(key):
            with tempfile.TemporaryDirectory(prefix="judge-") as place:
                made = Path(place, "made")
                made.mkdir()
                (made / RECORDED).write_bytes(said)
                self._objects.publish(made, key, {})


@contextlib.asynccontextmanager
async def _kept(batch: Batch) -> AsyncIterator[None]:
    """Tell the server again and again that the messages are worked on."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(_KEEP_S)
            await batch.keep()

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
