"""Judges of a stack: put into the store with labelled answers, asked by the evaluator. Their list is `judges`."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.base import Message
from ropewalk.events.foreign import one_line, quoted
from ropewalk.events.judge import (
    AuditJudge,
    JudgeAudited,
    JudgeProgressed,
    JudgeRefused,
    JudgeRegistered,
    JudgeSuspended,
    RegisterJudge,
)
from ropewalk.projections.fold import Json
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.beside import bytes_of
from ropewalk.tasksets.judges.labels import MAX_BYTES, read_labels
from ropewalk.tasksets.judges.shelf import ReadJudge, key_of, store_judge, stored_judge

if TYPE_CHECKING:
    from ropewalk.client.client import Client

Tell = Callable[[int, int], None]  # answers that are there, answers that are wanted
_SILENCE_S = 300.0  # of an evaluator that asks: a large model takes a while to load


async def add_judge(client: "Client", objects: ObjectStore, found: ReadJudge, tell: Tell) -> JudgeRegistered:
    """Store a judge and wait for its card. Raises ClientError with the evaluator's sentence, or for want of one."""
    await _store(objects, found)
    request = RegisterJudge(judge_id=found.definition.id, content=found.content)
    fact = await _answer(client, request, tell)
    assert isinstance(fact, JudgeRegistered), "what follows from a registration"
    return fact


async def audit_judge(
    client: "Client", known: Mapping[str, Json], objects: ObjectStore, name: str, labels: Path, tell: Tell
) -> JudgeAudited | JudgeSuspended:
    """Compare later labels with what a judge says now. Raises ClientError, TaskSetError."""
    facts = known_judge(known, name)
    there = await asyncio.to_thread(lambda: stored_judge(objects.fetch(key_of(facts["content"]))))
    body = bytes_of(labels, MAX_BYTES)
    found = replace(there, labels=body, answers=read_labels(body, there.rubric, one_line(labels.name)))
    await _store(objects, found)
    fact = await _answer(client, AuditJudge(judge_id=name, content=found.content), tell)
    assert isinstance(fact, JudgeAudited | JudgeSuspended), "what follows from an audit"
    return fact


def known_judge(known: Mapping[str, Json], name: str) -> Json:
    """The facts of a judge. Raises ClientError."""
    if not known.get(name):
        names = ", ".join(sorted(key for key, facts in known.items() if facts)[:20])
        raise ClientError(f"there is no judge {quoted(name)}; registered: {names or 'none'}")
    return known[name]


async def _store(objects: ObjectStore, found: ReadJudge) -> None:
    with tempfile.TemporaryDirectory(prefix="judge-") as place:
        await asyncio.to_thread(store_judge, objects, found, Path(place, "made"))


async def _answer(client: "Client", request: RegisterJudge | AuditJudge, tell: Tell) -> Message:
    """The fact that ends the request: an audit is said before the suspension that may follow from it."""
    end = await client.bus.end()
    await client.bus.publish(request)
    try:
        async with asyncio.timeout(_SILENCE_S) as patience:
            async for stored in client.bus.follow(f"evt.judge.*.*.{request.judge_id}", after=end):
                fact = stored.message
                if not isinstance(
                    fact, JudgeProgressed | JudgeRefused | JudgeRegistered | JudgeAudited | JudgeSuspended
                ):
                    continue
                if fact.content != request.content:
                    continue
                if isinstance(fact, JudgeRefused):
                    raise ClientError(f"judge {request.judge_id}: {fact.reason}")
                if not isinstance(fact, JudgeProgressed):
                    return fact
                tell(fact.num_answers, fact.num_asked)
                patience.reschedule(asyncio.get_running_loop().time() + _SILENCE_S)
    except TimeoutError:
        pass
    raise ClientError(
        f"the evaluator was asked about judge {request.judge_id} and has said nothing for {_SILENCE_S:.0f} s; "
        "it will once it can, and `ropewalk status` says what keeps it"
    )
