"""Asking for another look at a decision that waits."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ropewalk.client.errors import ClientError
from ropewalk.client.judging_again import judge_again
from ropewalk.events.base import Message
from ropewalk.events.evaluation import Estimate, EvaluationReopened, GateDecided
from ropewalk.events.run import RunCompleted

GAIN = Estimate(metric="m", value=0.1, lower=-0.1, upper=0.2, level=0.95, num_items=25, method="m")
DEFERRED = GateDecided(
    run_id="r",
    checkpoint_id="c",
    export_uri="e",
    evaluation_uri="v",
    decision="need_more",
    verdict="deferred",
    reasons=(),
    baseline="b",
    comparison=GAIN,
)


@dataclass(frozen=True)
class _Stored:
    message: Message


@dataclass
class _Evaluator:
    """A client whose evaluator answers at once."""

    facts: list[Message]
    asked: list[Message] = field(default_factory=list)

    async def timeline(self, _: str) -> list[_Stored]:
        return [_Stored(fact) for fact in self.facts]

    async def ask_for(self, request: Message, fact: type, is_it: Callable[..., bool], **_: object) -> None:
        assert fact is EvaluationReopened
        assert is_it(EvaluationReopened(run_id="r", checkpoint_id="c", look=2))
        self.asked.append(request)


async def test_what_waits_is_judged_again_where_there_is_more_to_score() -> None:
    evaluator = _Evaluator([DEFERRED])
    assert await judge_again(evaluator, "r") == 2
    assert len(evaluator.asked) == 1


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ([], "has no decision that waits: .* `evaluation: {defer_hours: 48}`"),
        ([DEFERRED.model_copy(update={"verdict": ""})], "has no decision that waits"),
        ([DEFERRED, RunCompleted(run_id="r", outcome="rejected")], "a run that has ended stays as it is"),
    ],
)
async def test_nothing_is_asked_where_it_would_change_nothing(facts: list[Message], sentence: str) -> None:
    evaluator = _Evaluator(facts)
    with pytest.raises(ClientError, match=sentence):
        await judge_again(evaluator, "r")
    assert evaluator.asked == []
