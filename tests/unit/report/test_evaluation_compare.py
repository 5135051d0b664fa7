"""Two evaluations beside each other: only on what both were asked, and clustered."""

import pytest
from parts.sealed_reports import a_level, a_row, a_section, seal

from ropewalk.client.errors import ClientError
from ropewalk.report.evaluation.compare import Judged, compare
from ropewalk.report.evaluation.sealed import read_rows, read_sealed
from ropewalk.storage.local import LocalObjects

ACC = a_level("t@1/acc", unit="share", better="higher", quantity="right", task_set="t@1").model_dump(mode="json")
BITS = a_level().model_dump(mode="json")


@pytest.fixture
def judged(tmp_path):
    objects = LocalObjects(tmp_path / "store")

    def one(run, rows, **fields):
        uri = seal(objects, tmp_path / "made", run, rows, **fields).evaluation_uri
        return Judged(report=read_sealed(objects, uri), rows=tuple(read_rows(objects, uri)))

    return one


def test_positive_says_that_the_first_is_better_in_either_direction(judged):
    fields = {"estimates": [BITS, ACC], "task_sets": [a_section("t@1")]}
    rows = [a_row(str(at), 20.0 + at) for at in range(12)] + [a_row(str(at), 0.0, "t@1/acc") for at in range(12)]
    better = [{**row, "values": {"candidate": row["values"]["candidate"] + by}} for row, by in _by(rows)]

    bits, acc = compare(judged("a", better, **fields), judged("b", rows, **fields))

    assert bits.value == pytest.approx(0.5)  # bits of an item of 10 bytes
    assert acc.value == 1.0
    assert acc.lower < 1.0  # twelve clusters do not prove it for all
    assert (bits.num_items, bits.num_clusters, bits.subject) == (12, 12, "b")


def _by(rows):
    return ((row, -5.0 if row["metric"] == "bits_per_byte" else 1.0) for row in rows)


def test_only_items_that_both_scored_count(judged):
    one = judged("a", [a_row(str(at), 10.0) for at in range(20)])
    other = judged("b", [a_row(str(at), 30.0 if at < 15 else 0.0, num_bytes=10 if at < 15 else 9) for at in range(20)])
    (found,) = compare(one, other)
    assert (found.num_items, found.value) == (15, pytest.approx(2.0))


def test_items_of_one_cluster_are_one_draw(judged):
    def rows(values, size):
        return [a_row(str(at), value, cluster=f"c{at // size}") for at, value in enumerate(values)]

    values = [float(at % 3) for at in range(24) for _ in range(5)]
    zeros = [0.0] * len(values)
    (alone,) = compare(judged("a", rows(values, 1)), judged("b", rows(zeros, 1)))
    (together,) = compare(judged("c", rows(values, 5)), judged("d", rows(zeros, 1)))
    assert together.num_clusters == 24
    assert together.upper - together.lower > 1.5 * (alone.upper - alone.lower)


@pytest.mark.parametrize(
    ("metric", "other"),
    [
        ("bits_per_byte", {"seed": 8}),  # other parts of the same texts
        ("t@1/acc", {"task_sets": [a_section("t@1", content="another")]}),
        ("t@1/acc", {"task_sets": []}),
    ],
)
def test_runs_that_were_not_asked_the_same_are_refused_with_the_remedy(judged, metric, other):
    rows, fields = [a_row(str(at), 1.0, metric) for at in range(12)], {"estimates": [BITS, ACC]}
    one = judged("a", rows, **fields, task_sets=[a_section("t@1")])
    same = judged("same", rows, **fields, task_sets=[a_section("t@1")])
    assert compare(one, same)
    with pytest.raises(ClientError, match=r"runs a and b have no item in common .* same frozen task set"):
        compare(one, judged("b", rows, **{"task_sets": [a_section("t@1")], **fields} | other))
