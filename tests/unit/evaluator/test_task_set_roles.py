"""What a task set decides, and how sure many items that go together are."""

import math
from dataclasses import replace

import pytest

from ropewalk.evaluator.domain.gate import Evidence, decide
from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.metrics.sets import set_metrics
from ropewalk.evaluator.domain.roles import GATES, with_task_sets
from ropewalk.evaluator.domain.statistics import example_share, per_byte
from ropewalk.events.evaluation import Estimate
from ropewalk.tasksets.definition import METRICS, TaskSetFile


def a_set(kind: str = "mc", **fields: object) -> TaskSetFile:
    schema = {"json_schema": {"type": "object"}} if kind == "schema" else {}
    return TaskSetFile.model_validate(
        {
            "id": "choosing",
            "version": 2,
            "use_case": "u",
            "data": {"file": "f", "sha256": "0" * 64},
            "licence": "CC0-1.0",
            "cluster_key": "g",
            "type": kind,
            **schema,
            **fields,
        }
    )


def a_gain(metric: str, bounds: tuple[float, float], role: str) -> Estimate:
    low, high = bounds
    fields = {"level": 0.95, "num_items": 40, "num_clusters": 20, "method": "m", "paired": True, "quantity": "right"}
    return Estimate.model_validate(
        {"metric": metric, "value": (low + high) / 2, "lower": low, "upper": high, "role": role, **fields}
    )


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_that_a_file_may_name_is_there_under_the_name_of_its_set(kind: str) -> None:
    found = [metric.name for metric in set_metrics(a_set(kind, metrics=METRICS[kind]))]
    assert found == [f"choosing@2/{name}" for name in METRICS[kind]]
    assert {metric.task_set for metric in set_metrics(a_set(kind))} == {"choosing@2"}


def test_a_primary_of_a_task_set_takes_the_place_of_the_recipes_which_may_not_get_worse() -> None:
    of = a_set(gate={"acc": {"role": "primary", "margin": 0.1}, "acc_norm": {"role": "guardrail", "margin": 0.2}})
    rules = with_task_sets(GATES["full"], (of,))
    assert rules.primary == "choosing@2/acc"
    assert rules.of["choosing@2/acc_gain"].margin == 0.1
    assert rules.role("bits_per_byte_gain") == "guardrail"
    assert rules.of["choosing@2/acc_norm_gain"].tolerance == 0.2
    assert with_task_sets(GATES["full"], (a_set(),)) == GATES["full"]


@pytest.mark.parametrize(
    ("bounds", "decision"), [((-0.05, 0.1), "promote"), ((-0.15, 0.1), "need_more"), ((-0.3, -0.2), "reject")]
)
def test_a_guardrail_must_show_that_it_loses_less_than_its_margin(bounds: tuple[float, float], decision: str) -> None:
    rules = with_task_sets(GATES["toy"], (a_set(gate={"acc": {"role": "guardrail", "margin": 0.1}}),))
    estimates = (
        a_gain("bits_per_byte_gain", (0.1, 0.2), "primary"),
        a_gain("choosing@2/acc_gain", bounds, "guardrail"),
    )
    evidence = Evidence(
        estimates=estimates, rules=rules, margin=0.0, opponent="base", num_held_out=40, num_seen=0, is_model=True
    )
    assert decide(evidence).decision == decision
    missing = decide(replace(evidence, missing=("choosing@2 decides, and was not asked",)))
    assert missing.decision == ("reject" if decision == "reject" else "need_more")
    assert "choosing@2 decides, and was not asked" in missing.reasons


def rows(clusters: list[str]) -> list[ItemScore]:
    return [
        ItemScore(metric="m", tasks="t", item_id=str(n), path="p", cluster=cluster, num_bytes=10, values={})
        for n, cluster in enumerate(clusters)
    ]


def test_copies_of_ten_answers_are_as_sure_as_ten() -> None:
    values = [float(n % 2) for n in range(10)]
    copied = example_share(values * 5, rows([str(n) for n in range(10)] * 5), 1)
    assert copied.num_items == 50
    assert copied.num_effective == pytest.approx(10 * (50 / 49) * (9 / 10), rel=1e-9)
    assert example_share(values, rows([str(n) for n in range(10)]), 1).num_effective == 10
    alone = per_byte([1.0, 2.0, 4.0, 3.0], rows(["a", "b", "c", "d"]), 1)
    assert alone.num_effective == pytest.approx(4)


def test_answers_that_all_agree_are_as_sure_as_there_are_items() -> None:
    assert example_share([1.0] * 20, rows([str(n % 4) for n in range(20)]), 1).num_effective == 20


@pytest.mark.parametrize("role", ["primary", "guardrail"])
def test_what_too_few_people_judged_needs_more_and_says_how_to_get_it(role: str) -> None:
    of = a_set("judge", criteria=["correctness"], gate={"correctness": {"role": role, "margin": 0.02}})
    rules = with_task_sets(GATES["toy"], (of,))
    few = a_gain("choosing@2/correctness_gain", (-math.inf, math.inf), role).model_copy(
        update={"value": 0.0, "num_items": 12, "num_clusters": 0, "items": "labelled items", "task_set": "choosing@2"}
    )
    bits = a_gain("bits_per_byte_gain", (0.1, 0.2), "guardrail" if role == "primary" else "primary")
    evidence = Evidence(
        estimates=(few, bits), rules=rules, margin=0.02, opponent="o", num_held_out=40, num_seen=0,
        left={"choosing@2/correctness": 9},
    )  # fmt: skip
    decided = decide(evidence)
    assert decided.decision == "need_more"
    assert decided.reasons[0] == (
        "only 12 labelled items were scored and the gate needs 20, so 8 are missing: have more answers labelled "
        "(`ropewalk eval raters invite choosing RATER` makes a link); where all are, add items in another version"
    )
    assert evidence.num_left == 9
