"""What an answer to an example is worth, which intervals follow, and what the gate makes of them."""

import pytest

from ropewalk.corpus.document import ChatMessage
from ropewalk.corpus.instruction import folded, instructed
from ropewalk.evaluator.domain.examples import are_structured, choose_examples
from ropewalk.evaluator.domain.gate import Evidence, decide
from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.metrics.answers import task_metrics
from ropewalk.evaluator.domain.metrics.answers.field_accuracy import found_in
from ropewalk.evaluator.domain.roles import task_rules
from ropewalk.evaluator.domain.statistics import example_mean, example_mean_gain, example_share
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.events.evaluation import Estimate

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


class Says:
    """A scorer of one answer."""

    def __init__(self, text: str, *, fits: bool = True) -> None:
        self._answer = ExampleAnswer(
            text=text, prompt_tokens=7, answer_tokens=3, seconds=0.5, core_seconds=0.1, fits=fits
        )

    def answers(self, items):
        return [self._answer for _ in items]


def scores(text: str, wanted: str = '{"a":1,"b":"x"}', schema=SCHEMA, *, fits: bool = True) -> dict[str, float]:
    item = Item("i", "p", reference=wanted)
    found = {metric.name: metric.score(Says(text, fits=fits), [item]) for metric in task_metrics(schema)}
    return {name: findings[0].value for name, findings in found.items()}


@pytest.mark.parametrize(
    ("text", "valid", "fields", "exact"),
    [
        ('{"a":1,"b":"x"}', 1, 1, 1),
        (' {"b": "x", "a": 1}\n', 1, 1, 1),
        ('Here it is:\n```json\n{"a":1,"b":"x"}\n``` {"a":2}', 0, 1, 0),
        ('{"a":1}', 1, 0.5, 0),
        ('{"a":true,"b":"x"}', 0, 0.5, 0),
        ('{"a":1,"b":"x","c":2}', 1, 2 / 3, 0),
        ("no idea", 0, 0, 0),
        ("{" * 100_000, 0, 0, 0),
    ],
)
def test_validity_is_strict_and_fields_are_looked_for_in_the_text(text, valid, fields, exact) -> None:
    found = scores(text)
    assert (found["schema_validity"], found["exact_match"]) == (valid, exact)
    assert found["field_accuracy"] == pytest.approx(fields)
    assert (found["prompt_tokens"], found["answer_tokens"], found["answer_seconds"]) == (7, 3, 0.5)
    assert found["core_seconds"] == 0.1


def test_texts_are_compared_whole_and_have_no_validity() -> None:
    found = scores(" yes\n", "yes", None)
    assert "schema_validity" not in found
    assert found["field_accuracy"] == found["exact_match"] == 1
    assert scores("yes, indeed", "yes", None)["exact_match"] == 0
    assert scores("yes", "yes", None, fits=False)["exact_match"] == 0


def test_the_first_json_of_a_text_is_found_behind_braces_that_are_none() -> None:
    assert found_in('{x} [y] {"a": [1]} {"a": 2}') == {"a": [1]}
    assert found_in("{" * 50 + '{"a":1}') is None  # so many beginnings are not tried


def rows(clusters: list[str]) -> list[ItemScore]:
    names = {"metric": "m", "tasks": "held-out examples", "path": "p", "num_bytes": 0, "values": {}}
    return [ItemScore(item_id=str(at), cluster=cluster, **names) for at, cluster in enumerate(clusters)]


def test_agreement_of_all_examples_is_no_certainty() -> None:
    alone = rows([str(at) for at in range(40)])
    level, gain = example_mean([1.0] * 40, alone, 1), example_mean_gain([0.0] * 40, alone, 1)
    assert (level.interval.value, level.interval.upper) == (1.0, 1.0)
    assert level.interval.lower == pytest.approx(0.9119, abs=1e-4)  # Clopper and Pearson of 40 of 40
    assert gain.interval.lower == pytest.approx(-0.0881, abs=1e-4) == -gain.interval.upper


def test_examples_that_belong_together_count_as_one() -> None:
    alone, together = rows([str(at) for at in range(40)]), rows([str(at // 10) for at in range(40)])
    values = [float(at // 10 % 2) for at in range(40)]
    narrow, wide = example_share(values, alone, 1), example_share(values, together, 1)
    assert (narrow.num_clusters, wide.num_clusters) == (40, 4)
    assert wide.interval.upper - wide.interval.lower > narrow.interval.upper - narrow.interval.lower
    assert 0 <= wide.interval.lower < wide.interval.upper <= 1


def test_the_instruction_stands_in_the_place_of_the_short_prompt() -> None:
    short, question = turn("system", "to json"), turn("user", "q")
    shot = (short, turn("user", "s"), turn("assistant", "a"))
    told = instructed((short, question), "to json", "Long.", [shot])
    assert [each.content for each in told] == ["Long.", "s", "a", "q"]
    other = instructed((turn("system", "context"), question), "to json", "Long.")
    assert [each.content for each in other] == ["Long.", "context", "q"]
    assert [(each.role, each.content) for each in folded(other)] == [("user", "Long.\n\ncontext\n\nq")]


def test_questions_are_the_turns_before_the_last_answer() -> None:
    items = [Item(str(n), "p", turns=(turn("user", f"q{n}"), turn("assistant", '{"a":1}'))) for n in range(200)]
    chosen = choose_examples([*items, Item("text", "p", text="t"), Item("open", "p", turns=(turn("user", "q"),))], 3)
    assert len(chosen.items) == 128
    assert {item.reference for item in chosen.items} == {'{"a":1}'}
    assert {len(item.turns) for item in chosen.items} == {1}
    assert are_structured(chosen.items)
    assert not are_structured([*chosen.items, Item("x", "p", reference="yes")])
    assert choose_examples(items[:150][::-1], 3).items == choose_examples(items[:150], 3).items


def an_estimate(metric: str, value: float, lower: float, upper: float, **more: object) -> Estimate:
    fields = {"quantity": metric, "unit": "share", "better": "higher", "items": "held-out examples"} | more
    return Estimate(
        metric=metric, value=value, lower=lower, upper=upper, level=0.95, num_items=96, method="m", **fields
    )


def judged(valid: float, theirs: float, gain: tuple[float, float, float] = (0.57, 0.48, 0.65)):
    rules = task_rules("full", has_schema=True, is_structured=True)
    role = {"paired": True, "subject": "the base"}
    estimates = [
        an_estimate("field_accuracy", 0.91, 0.9, 0.92),
        an_estimate("instruction_field_accuracy", 0.34, 0.3, 0.4),
        an_estimate("field_accuracy_gain", *gain, role="primary", **role),
        an_estimate("schema_validity", valid, 0.0, 1.0, role="guardrail"),
        an_estimate("instruction_schema_validity", theirs, 0.0, 1.0),
        an_estimate("schema_validity_gain", valid - theirs, valid - theirs - 0.01, 1.0, role="guardrail", **role),
    ]
    shown = {"margin": 0.0, "opponent": "the base", "num_held_out": 96, "num_seen": 0, "column": "instruction"}
    return decide(Evidence(estimates=estimates, rules=rules, **shown))


def test_the_decision_about_a_specialist_says_both_levels_and_the_gain() -> None:
    decision = judged(0.97, 0.5)
    assert decision.decision == "promote"
    assert decision.reasons[0] == (
        "the candidate's answers are right in 91% of the fields against 34% of the base (95% interval of the gain 48 "
        "to 65 points, 96 held-out examples): the whole interval is above the margin of 0"
    )


def test_a_specialist_with_too_few_valid_answers_is_rejected_and_one_at_the_least_is_not() -> None:
    assert judged(0.9, 0.5).decision == "promote"
    refused = judged(0.89, 0.5)
    assert refused.decision == "reject"
    assert refused.reasons[0] == "schema_validity: 89% of 96 held-out examples; the gate asks for at least 90%"
    assert judged(0.95, 0.97).decision == "need_more"


def test_texts_are_judged_by_bits_and_a_toy_by_its_fields_alone() -> None:
    assert task_rules("full", has_schema=False, is_structured=False).primary == "bits_per_byte"
    assert set(task_rules("toy", has_schema=True, is_structured=True).of) == {"field_accuracy_gain"}
