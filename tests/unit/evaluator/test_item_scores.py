"""Scores become messages within the limits of the bus, and the same ones every time."""

import json
import math
from types import SimpleNamespace

import pytest

from ropewalk.evaluator.adapters.item_scores import score_batches
from ropewalk.events.score import ScoreBatch

REPORT = SimpleNamespace(run_id="r", checkpoint_id="r-1-9", look=2)


@pytest.fixture
def batches_of(tmp_path):
    def batches(rows) -> list[ScoreBatch]:
        path = tmp_path / "scores.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return list(score_batches(REPORT, path))

    return batches


def a_row(number: int, metric: str = "copying@1/acc", cluster: str = "c", **values: float | None) -> dict:
    usual = {"candidate": number / 7, "production": 0.5}
    return {"metric": metric, "item_id": f"i{number}", "cluster": cluster, "num_bytes": 9, "values": values or usual}


def test_every_score_comes_back_in_order_and_the_same_every_time(batches_of):
    rows = [a_row(number) for number in range(2_500)]
    batches = batches_of(rows)
    assert batches == batches_of(rows)
    mine = [batch for batch in batches if batch.scorer == "candidate"]
    assert [(batch.first, len(batch.scores)) for batch in mine] == [(0, 1_000), (1_000, 1_000), (2_000, 500)]
    assert [each.value for batch in mine for each in batch.scores] == [row["values"]["candidate"] for row in rows]
    assert {(batch.task_set, batch.metric, batch.look) for batch in batches} == {("copying@1", "acc", 2)}


@pytest.mark.parametrize("number", [1, 999, 1_000, 1_001])
def test_no_message_is_empty_or_too_long(batches_of, number):
    batches = batches_of([a_row(n, metric="bits_per_byte", candidate=1.0) for n in range(number)])
    assert sum(len(batch.scores) for batch in batches) == number
    assert all(1 <= len(batch.scores) <= 1_000 for batch in batches)
    assert {batch.task_set for batch in batches} == {""}


def test_a_message_fits_the_bus_whatever_clusters_are_called(batches_of):
    batches = batches_of([a_row(n, cluster="\x01" * 199 + chr(65 + n % 26)) for n in range(1_000)])
    assert max(len(batch.model_dump_json()) for batch in batches) < 600_000
    assert len({each.cluster for batch in batches for each in batch.scores}) == 26


def test_long_clusters_are_told_apart_and_what_is_no_number_stays_that(batches_of):
    [batch] = batches_of([a_row(n, cluster=f"{'deep/' * 400}{n}", candidate=None) for n in range(3)])
    assert len({each.cluster for each in batch.scores}) == 3
    assert all(len(each.cluster) == 64 and math.isnan(each.value) for each in batch.scores)
    assert math.isnan(ScoreBatch.model_validate_json(batch.model_dump_json()).scores[0].value)
