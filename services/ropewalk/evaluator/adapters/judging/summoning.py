"""What an evaluation must know of a judged task set before it begins: judges, labels, and what earlier looks left."""

import asyncio
import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ropewalk.bus.bus import Bus
from ropewalk.bus.once import once
from ropewalk.evaluator.adapters.judging.bench import CaseFile, Summoned
from ropewalk.evaluator.adapters.judging.examining import HearingOrder
from ropewalk.evaluator.adapters.labelling.kept import kept_answers, kept_rounds, kept_said
from ropewalk.evaluator.adapters.labelling.wanted import labels_of
from ropewalk.evaluator.domain.judging.panel import accepted, why_left_out
from ropewalk.projections.judges import JudgeStanding, standing_of_judge
from ropewalk.recipes.bases import base_key, find_base
from ropewalk.stages.errors import StageError
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.judges.definition import JudgeFile
from ropewalk.tasksets.judges.shelf import key_of, stored_judge
from ropewalk.tasksets.section import TaskSetSection
from ropewalk.tasksets.shelf import ReadTaskSet
from ropewalk.usecases.endpoint import EndpointError, read_key

_FAULTS = (StageError, TaskSetError, StorageError, EndpointError, OSError)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What an evaluation may use: threads, minutes for written answers and for each judge, keys of endpoints."""

    threads: int = 1
    task_minutes: float = math.inf
    judge_keys: Path = Path("judge-keys")


async def bench_of(
    bus: Bus,
    objects: ObjectStore,
    means: Means,
    found: ReadTaskSet,
    models: tuple[str, str],
    before: TaskSetSection | None,
) -> CaseFile:
    """`models` are the uris of the candidate and of what it must beat; `before` is what the look before came to."""
    pair = hashlib.sha256("\n".join((found.content, *models)).encode()).hexdigest()[:32]
    labels, sequence = await labels_of(bus, found.definition.id)
    panel, left_out = [], []
    for judge_id in found.definition.judges:
        judge = await _summoned(bus, objects, means, found, judge_id, pair)
        if isinstance(judge, Summoned):
            panel.append(judge)
        else:
            left_out.append(f"judge {judge_id} is left out: {judge}")
    return CaseFile(
        pair=pair,
        panel=tuple(panel),
        left_out=tuple(left_out),
        answers=await asyncio.to_thread(kept_answers, objects, pair),
        rounds=await asyncio.to_thread(kept_rounds, objects, before.sheets if before else "", pair),
        grades=labels.grades(),
        num_said={sheet: len(raters) for sheet, raters in labels.raters().items()},
        sequence=sequence,
    )


async def _summoned(
    bus: Bus, objects: ObjectStore, means: Means, found: ReadTaskSet, judge_id: str, pair: str
) -> Summoned | str:
    """The judge, or why it is left out."""
    facts = [stored.message async for stored in once(bus.read(f"evt.judge.*.*.{judge_id}"))]
    standing, of = standing_of_judge(facts), found.definition
    assert found.rubric is not None, "a judged task set has one"
    if why := why_left_out(standing, found.rubric.digest, datetime.now(UTC)):
        return why
    assert standing is not None, "or it were left out"
    criteria = accepted(standing, of.criteria)
    rejected = [name for name in of.criteria if name not in criteria]
    if rejected and (of.type == "pairwise" or not criteria):
        return f"its card rejects it for {', '.join(rejected)}"
    try:
        order, known = await asyncio.to_thread(_order, objects, means, standing, pair)
    except _FAULTS as error:
        return str(error)
    return Summoned(judge_id=judge_id, standing=standing, order=order, criteria=criteria, known=known)


def _order(
    objects: ObjectStore, means: Means, standing: JudgeStanding, pair: str
) -> tuple[HearingOrder, frozenset[str]]:
    folders = [objects.fetch(key_of(content)) for content in (standing.content, *(a.content for a in standing.audits))]
    stored = [stored_judge(folder) for folder in folders]
    model, digest = model_of(objects, stored[0].definition)
    order = HearingOrder(
        judge=folders[0],
        model=model,
        digest=digest,
        key=key_for(means.judge_keys, stored[0].definition),
        minutes=means.task_minutes,
        threads=means.threads,
        said=kept_said(objects, standing.content, pair),
    )
    return order, frozenset(answer.item_id for each in stored for answer in each.answers)


def model_of(objects: ObjectStore, definition: JudgeFile) -> tuple[Path | None, str]:
    """The folder of a model of ours, and the digest of what is in it. Raises StageError."""
    if not definition.model:
        return None, ""
    key = definition.model
    if not key.startswith("exports/"):
        base = find_base(objects, key)
        if base is None:
            raise StageError(f"there is no imported model {key}: `ropewalk models import` brings one")
        key = base_key(base.content)
    return objects.fetch(key), objects.manifest(key).sha256


def key_for(keys: Path, definition: JudgeFile) -> str:
    """The key for the host of an endpoint, which goes to no other; empty where there is none."""
    if definition.endpoint is None:
        return ""
    file = keys / definition.endpoint.host
    return read_key(file) if file.is_file() else ""
