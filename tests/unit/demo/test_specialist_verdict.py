"""How the specialist's demo judges its run, its answers and its prices; plain values."""

import ast
import json
from datetime import UTC, datetime

from ropewalk.demo.specialist.asking import QUESTIONS, Reply, judged
from ropewalk.demo.specialist.functions import example_of
from ropewalk.demo.specialist.task import answer_schema
from ropewalk.demo.specialist.verdict import STAGES, answer_problems, specialist_problems
from ropewalk.events.evaluation import Estimate
from ropewalk.report.card import ReportCard
from ropewalk.usecases.schema import AnswerChecker

CHECKPOINT = "c-1"


def measured(**values):
    """Estimates by name; those without a prefix are of the candidate."""
    return tuple(
        Estimate(
            metric=name,
            value=value,
            lower=value,
            upper=value,
            level=0.95,
            num_items=40,
            method="",
            subject="base" if "_" in name and name.split("_")[0] in ("shots", "instruction") else CHECKPOINT,
        )
        for name, value in values.items()
    )


def a_card(**values):
    return ReportCard(
        run_id="r",
        recipe="function-record",
        recipe_sha256="",
        outcome="promoted",
        model="function-record",
        model_version=1,
        began_at=datetime(2026, 11, 27, tzinfo=UTC),
        seconds=1.0,
        checkpoint_id=CHECKPOINT,
        estimates=measured(**values),
    )


def test_a_reply_is_measured_by_what_the_syntax_tree_says():
    function = ast.parse(QUESTIONS[1]).body[0]
    truth = example_of(function, QUESTIONS[1].splitlines()).record
    completion = {"choices": [{"message": {"content": json.dumps(truth)}}], "usage": {"prompt_tokens": 70}}
    reply = judged(completion, QUESTIONS[1], AnswerChecker(answer_schema()), 1.5)
    assert (reply.is_valid, reply.accuracy, reply.prompt_tokens, reply.seconds) == (True, 1.0, 70, 1.5)
    completion["choices"][0]["message"]["content"] = "It gives a ship its place."
    reply = judged(completion, QUESTIONS[1], AnswerChecker(answer_schema()), 1.5)
    assert (reply.is_valid, reply.accuracy) == (False, 0.0)


def test_too_few_valid_answers_are_a_problem_and_so_is_an_endpoint_that_gives_none():
    good = Reply(is_valid=True)
    assert answer_problems(a_card(schema_validity=0.96), [good]) == ()
    assert "94% of the answers" in answer_problems(a_card(schema_validity=0.94), [good])[0]
    assert "does not say" in answer_problems(a_card(), [good])[0]
    assert "no answer of the endpoint" in answer_problems(a_card(schema_validity=1), [Reply()])[0]


def test_a_run_that_failed_is_told_first():
    assert specialist_problems(a_card(schema_validity=1), "stage train failed", []) == ("stage train failed",)
    assert "watch" not in STAGES
