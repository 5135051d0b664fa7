"""Item scores and labels in their tables: each once, however often it is said, and taken back where it was."""

import dataclasses
import math

from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import LABELS, SCORES
from ropewalk.projections.labels import given


async def test_scores_that_are_said_again_are_the_same_scores(store, make):
    sink = Sink(store, SCORES)
    await sink.take([make.in_stream(make.scores("candidate"), 1), make.in_stream(make.scores("candidate", first=3), 2)])
    await sink.take([make.in_stream(make.scores("candidate"), 3)])  # later than the bus remembers
    await sink.take([make.in_stream(make.scores("candidate", look=2), 4)])
    rows = await store.query("SELECT look, item_id, value FROM ropewalk.item_score ORDER BY look, value")
    assert [(row["look"], row["item_id"], row["value"]) for row in rows] == [
        *((1, f"i{n}", 9 + n / 2) for n in range(3) for _ in range(2)),
        *((2, f"i{n}", 9 + n / 2) for n in range(3)),
    ]


async def test_a_score_that_is_no_number_is_kept_as_that(store, make):
    whole = make.scores("candidate")
    first = whole.scores[0].model_copy(update={"value": math.nan})
    await Sink(store, SCORES).take([make.in_stream(whole.model_copy(update={"scores": (first, *whole.scores[1:])}), 1)])
    [row] = await store.query("SELECT countIf(isNaN(value)) AS nans, count() AS n FROM ropewalk.item_score")
    assert (row["nans"], row["n"]) == (1, 3)


async def test_the_table_says_of_labels_what_the_evaluator_makes_of_them(store, make):
    said = [
        make.label(1),
        make.label(2),
        make.label(2, taken_back=True),
        make.label(1, rater="bo"),
        make.label(1, rater="bo").model_copy(update={"grade": 0}),  # the first word counts
        make.label(3),
    ]
    items = [make.in_stream(message, sequence) for sequence, message in enumerate(said, start=1)]
    sink = Sink(store, dataclasses.replace(LABELS, max_messages=2))
    await sink.take(items[:4])
    await sink.take(items[2:])
    rows = await store.query("SELECT rater, position, grade, withdrawn FROM ropewalk.label ORDER BY rater, position")
    assert [tuple(row.values()) for row in rows] == [
        ("ann", 1, 1, False),
        ("ann", 2, 2, True),
        ("ann", 3, 3, False),
        ("bo", 1, 1, False),
    ]
    kept = given(said).labels.values()
    assert sorted((each.rater, each.position, each.grade) for each in kept) == [
        (row["rater"], row["position"], row["grade"]) for row in rows if not row["withdrawn"]
    ]
