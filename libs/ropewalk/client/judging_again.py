"""Asking for a deferred decision to be looked at once more."""

from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.base import last_of
from ropewalk.events.evaluation import EvaluationReopened, GateDecided, JudgeAgain
from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_ANSWER_S = 30.0


async def judge_again(client: "Client", run_id: str) -> int:
    """Have more of what is held out scored, and decide by that. Returns the number of the look. Raises ClientError."""
    facts = [stored.message for stored in await client.timeline(run_id)]
    decided = last_of(facts, GateDecided)
    is_over = any(isinstance(fact, RunCompleted | RunFailed | RunCancelled) for fact in facts)
    if decided is None or not decided.is_deferred or is_over:
        raise ClientError(
            f"run {run_id} has no decision that waits: one is deferred where the gate needs more, more is "
            "left to ask and the recipe says `evaluation: {defer_hours: 48}`; a run that has ended stays as it is, so "
            "submit it again with that"
        )
    look = decided.look + 1
    await client.ask_for(
        JudgeAgain(run_id=run_id),
        EvaluationReopened,
        lambda told: told.look == look,
        within_s=_ANSWER_S,
        asked=f"the evaluator was asked to judge run {run_id} once more",
    )
    return look
