"""What every item scored, said in messages that are the same however often they are said: from the sealed report."""

import asyncio
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ropewalk.evaluator.adapters.reports import SCORES
from ropewalk.evaluator.domain.report import EvaluationReport
from ropewalk.events.base import Message
from ropewalk.events.foreign import LIMIT
from ropewalk.events.score import MOST_SCORES, ScoreBatch, ScoredItem
from ropewalk.stages.context import StageContext

_MOST_BYTES = 512 * 1024  # of the scores in one message, which may have 1 MiB


async def after_scores(ctx: StageContext, report: EvaluationReport, key: str) -> tuple[Message, ...]:
    """Say all scores of the report under `key`; the facts that follow from it. A redo says the same messages again."""
    folder = await asyncio.to_thread(ctx.objects.fetch, key)
    for batch in await asyncio.to_thread(lambda: list(score_batches(report, folder / SCORES))):
        place = (batch.checkpoint_id, batch.look, batch.task_set, batch.metric, batch.scorer, batch.first)
        await ctx.emit(batch, key="/".join(map(str, place)))
    return report.events(key)


def score_batches(report: EvaluationReport, path: Path) -> Iterator[ScoreBatch]:
    """The scores in a file of JSON lines, by metric and scorer, within the limits of a message."""
    found: dict[tuple[str, str], list[ScoredItem]] = defaultdict(list)
    with path.open("rb") as lines:
        for row in map(json.loads, lines):
            for scorer, value in row["values"].items():
                found[row["metric"], scorer].append(_scored(row, value))
    for (named, scorer), scores in found.items():
        task_set, _, metric = named.rpartition("/")
        for first, packed in _packed(scores):
            yield ScoreBatch(
                run_id=report.run_id,
                checkpoint_id=report.checkpoint_id,
                look=report.look,
                metric=metric,
                task_set=task_set,
                scorer=scorer,
                first=first,
                scores=packed,
            )


def _scored(row: dict[str, Any], value: float | None) -> ScoredItem:
    """JSON lines have no NaN. A cluster may be a long path: its hash names it, so that no two become one."""
    cluster = row["cluster"]
    if len(cluster) > LIMIT:
        cluster = hashlib.sha256(cluster.encode()).hexdigest()
    return ScoredItem(
        item_id=row["item_id"],
        cluster=cluster,
        num_bytes=row["num_bytes"],
        value=math.nan if value is None else value,
    )


def _packed(scores: list[ScoredItem]) -> Iterator[tuple[int, tuple[ScoredItem, ...]]]:
    """Parts, and how many scores come before each."""
    first, num_bytes = 0, 0
    for at, score in enumerate(chain(scores, (None,))):
        size = len(score.model_dump_json().encode()) if score else 0
        is_full = at - first == MOST_SCORES or num_bytes + size > _MOST_BYTES
        if at > first and (is_full or score is None):
            yield first, tuple(scores[first:at])
            first, num_bytes = at, 0
        num_bytes += size
