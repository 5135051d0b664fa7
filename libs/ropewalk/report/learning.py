"""The learning curve of a run and the smaller ones beside it: what each came to, and what more examples would bring."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise

from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.client.describe import describe
from ropewalk.client.errors import UnknownRunError
from ropewalk.corpus.document import read_records
from ropewalk.corpus.trained import KEPT, STATES
from ropewalk.events.base import Message, last_of
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import EvaluationCompleted
from ropewalk.events.foreign import one_line
from ropewalk.events.run import RunAccepted, RunCancelled, RunFailed, RunRejected
from ropewalk.recipes.recipe import parse_recipe
from ropewalk.report.card import CurvePoint, LearningCurve
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.usecases.comparison import CANDIDATE
from ropewalk.usecases.smaller_runs import FRACTIONS, has_curve, smaller_id

PRIMARY = "field_accuracy"
_METRICS = (PRIMARY, "schema_validity", "exact_match")
_CHANGED = "the examples were changed between the runs, so that the points are of no one curve: submit the recipe again"
_UNREADABLE = "the evaluations cannot be read any more, so nothing is said of more examples"


async def learning_of(
    client: Client, timeline: Sequence[Stored[Message]], objects: ObjectStore
) -> LearningCurve | None:
    """The curve as it is now; None for a run whose recipe asks for none."""
    messages = [stored.message for stored in timeline]
    accepted = last_of(messages, RunAccepted)
    if accepted is None or not has_curve(parse_recipe(accepted.recipe)):
        return None
    logs = [await _messages(client, smaller_id(accepted.run_id, fraction)) for fraction in FRACTIONS]
    return await asyncio.to_thread(curve_of, accepted.run_id, [*logs, messages], objects)


async def _messages(client: Client, run_id: str) -> list[Message]:
    try:
        return [stored.message for stored in await client.timeline(run_id)]
    except UnknownRunError:
        return []


def curve_of(run_id: str, logs: Sequence[Sequence[Message]], objects: ObjectStore) -> LearningCurve:
    """From what was said of the smaller runs, by size, and at last of the whole one."""
    ids = [*(smaller_id(run_id, fraction) for fraction in FRACTIONS), run_id]
    points = [_point(*each) for each in zip(ids, (*FRACTIONS, 1.0), logs, strict=True)]
    if waited := [point for point in points if point.missing]:
        rest = f"{waited[0].run_id}: {waited[0].missing}"
        return LearningCurve(points=tuple(points), advice=f"what more examples would bring is not known ({rest})")
    try:
        advice = _advice(points, logs, objects)
    except (StorageError, OSError, ValueError):
        advice = _UNREADABLE
    return LearningCurve(points=tuple(points), advice=advice)


def _point(run_id: str, fraction: float, messages: Sequence[Message]) -> CurvePoint:
    evaluated, dataset = last_of(messages, EvaluationCompleted), last_of(messages, DatasetPublished)
    bad = next((each for each in messages if isinstance(each, RunRejected | RunFailed | RunCancelled)), None)
    if evaluated is None or dataset is None:
        missing = one_line(describe(bad), 300) if bad else "not judged yet" if messages else "not begun yet"
        return CurvePoint(run_id=run_id, fraction=fraction, missing=missing)
    found = {each.metric: each for each in evaluated.estimates}
    levels = {metric: found[metric] for metric in _METRICS if metric in found}
    missing = "" if PRIMARY in levels else "its task was not asked"
    return CurvePoint(run_id=run_id, fraction=fraction, num_learnt=dataset.num_kept, levels=levels, missing=missing)


def _advice(points: Sequence[CurvePoint], logs: Sequence[Sequence[Message]], objects: ObjectStore) -> str:
    """Raises StorageError, OSError or ValueError for evaluations that cannot be read."""
    import numpy as np  # not in the process that only follows a run

    from ropewalk.usecases.learning_curve import advice, forecast

    learnt = [_learnt(messages, objects) for messages in logs]
    if not all(less <= more for less, more in pairwise(learnt)):
        return _CHANGED
    small, half, whole = (point.num_learnt for point in points)
    if not 0 < small < half < whole:
        return f"{whole:,} examples are too few for a curve: {half:,} and {small:,} are the smaller runs'"
    scores = [_scores(messages, objects) for messages in logs]
    asked = sorted(set.intersection(*map(set, scores)))  # what all three were asked
    values = np.array([[each[item][1] for each in scores] for item in asked])
    level = points[-1].levels[PRIMARY]
    found = forecast((small, half, whole), [scores[-1][item][0] for item in asked], values, room=1 - level.lower)
    return advice(found, level.quantity)


def _learnt(messages: Sequence[Message], objects: ObjectStore) -> set[str]:
    """The contents that a run's model learnt from."""
    dataset = last_of(messages, DatasetPublished)
    assert dataset is not None, "a point that is not missing has one"
    records = read_records(objects.fetch(dataset.uri) / STATES)
    return {record["content"] for record in records if record["state"] == KEPT}


def _scores(messages: Sequence[Message], objects: ObjectStore) -> dict[str, tuple[str, float]]:
    """Cluster and score of each held-out example."""
    evaluated = last_of(messages, EvaluationCompleted)
    assert evaluated is not None, "a point that is not missing has one"
    with (objects.fetch(evaluated.uri) / "scores.jsonl").open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["metric"] == PRIMARY]
    return {row["item_id"]: (row["cluster"], float(row["values"][CANDIDATE])) for row in rows}
