"""From the log to a report card. Pure: stored messages in the order of the log, step metrics, request logs."""

import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import yaml
from pydantic import JsonValue

from ropewalk.bus.codec import Stored
from ropewalk.client.client import ENDINGS
from ropewalk.client.describe import describe
from ropewalk.client.outcomes import forecast_errors
from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.events.base import Message, last_of
from ropewalk.events.checkpoint import CheckpointValidated, ParityCertified
from ropewalk.events.data import CorpusIngested, DatasetPublished, TokenizerTrained
from ropewalk.events.evaluation import Estimate, EvaluationCompleted, GateDecided
from ropewalk.events.foreign import cut, one_line
from ropewalk.events.monitoring import AlarmCleared, AlarmRaised, CostRecorded
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageStarted,
)
from ropewalk.events.serving import RequestLog
from ropewalk.events.training import (
    SearchCompleted,
    StepMetrics,
    StepSkipped,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingResumed,
    TrainingRolledBack,
    TrainingStarted,
    TrainingValidated,
    TrialCompleted,
)
from ropewalk.report.card import (
    RUN_STAGES,
    STAGES,
    CardSample,
    Interruption,
    LearningCurve,
    LossPoint,
    ReportCard,
    Specialist,
    StageLine,
)
from ropewalk.report.traffic import traffic_line

M = TypeVar("M", bound=Message)
_BADLY: dict[type[Message], str] = {RunFailed: "failed", RunCancelled: "cancelled", RunRejected: "refused"}
_MOST_RECIPE = 8000  # characters


@dataclass(frozen=True, kw_only=True)
class CardEvidence:
    """Everything a card is computed from."""

    timeline: Sequence[Stored[Message]]
    steps: Sequence[StepMetrics] = ()
    requests: Sequence[RequestLog] = ()
    ledger: LedgerVerdict | None = None
    samples: Sequence[CardSample] = ()
    specialist: Specialist | None = None
    learning: LearningCurve | None = None
    openai_url: str = ""


def collect(evidence: CardEvidence) -> ReportCard:
    """The card of the run whose timeline is given; the timeline must not be empty."""
    timeline, began_at, alarms = evidence.timeline, _began_at(evidence.timeline), awaited_alarms(evidence.timeline)
    accepted, completed = _last(timeline, RunAccepted), _last(timeline, RunCompleted)
    evaluated, corpus = _last(timeline, EvaluationCompleted), _last(timeline, CorpusIngested)
    bad = next((stored.message for stored in timeline if type(stored.message) in _BADLY), None)
    model, prompt = completed.model if completed else "", _prompt(accepted)
    return ReportCard(
        run_id=timeline[0].message.run_id,
        recipe=str(accepted.recipe.get("name", "")) if accepted else "",
        recipe_sha256=accepted.recipe_sha256 if accepted else "",
        outcome=completed.outcome if completed else _BADLY[type(bad)] if bad else "unfinished",
        reason="cancelled " * isinstance(bad, RunCancelled) + describe(bad) if bad else "",
        recipe_text=recipe_text(accepted.recipe) if accepted else "",
        **_shown(evidence),
        model=model,
        model_version=completed.model_version if completed else 0,
        began_at=began_at,
        seconds=(_ended_at(timeline) - began_at).total_seconds(),
        stages=stage_lines(timeline),
        corpus=corpus.model_copy(update={"segments": ()}) if corpus else None,  # a segment for every few files
        dataset=_last(timeline, DatasetPublished),
        tokenizer=_last(timeline, TokenizerTrained),
        trials=_trials(timeline),
        search=_last(timeline, SearchCompleted),
        training=_last(timeline, TrainingStarted),
        trained=_last(timeline, TrainingCompleted),
        forecast=forecast_errors([stored.message for stored in timeline]),
        tokens_per_s=_tokens_per_s(evidence.steps),
        losses=_losses(evidence.steps),
        looks=_looks(timeline),
        said=looked.samples if (looked := _last(timeline, TrainingValidated)) else (),
        interruptions=interruptions(timeline),
        **_bad_steps(timeline),
        ledger=evidence.ledger,
        checkpoint_id=evaluated.checkpoint_id if evaluated else "",
        estimates=_in_words(evaluated) if evaluated else (),
        gate=_last(timeline, GateDecided),
        parity=_last(timeline, ParityCertified),
        traffic=traffic_line(evidence.requests),
        alarms=alarms,
        num_alarms_over=_num_over(timeline, alarms),
        prompt=prompt,
        curl=curl_line(evidence.openai_url, model, _asked(accepted, evidence.specialist, prompt)) if model else "",
    )


def _shown(evidence: CardEvidence) -> dict[str, Any]:
    """The fields of the card that come from reports of evaluations."""
    return {
        "samples": tuple(evidence.samples),
        "specialist": evidence.specialist,
        "learning": evidence.learning,
    }


def _bad_steps(timeline: Sequence[Stored[Message]]) -> dict[str, Any]:
    """The fields of the card for steps that changed nothing and for those after which weights had gone bad."""
    skipped, back = _all(timeline, StepSkipped), _all(timeline, TrainingRolledBack)
    fields = {"skipped_steps": [each.step for each in skipped], "rolled_back_steps": [each.step for each in back]}
    return {name: tuple(sorted(set(steps))) for name, steps in fields.items()}


def _losses(steps: Sequence[StepMetrics]) -> tuple[LossPoint, ...]:
    """What can be drawn of them."""
    finite = (row for row in steps if math.isfinite(row.loss))
    return tuple(LossPoint(attempt=row.attempt, step=row.step, loss=row.loss) for row in finite)


def recipe_text(recipe: dict[str, JsonValue]) -> str:
    """The recipe as its owner would write it: without the derived plan and without what is empty."""
    asked = {name: value for name, value in recipe.items() if name != "plan" and value not in ("", None, {})}
    return cut(yaml.safe_dump(asked, sort_keys=False, allow_unicode=True, width=100), _MOST_RECIPE)


def _looks(timeline: Sequence[Stored[Message]]) -> tuple[LossPoint, ...]:
    """By step, what was looked at again once: of the checkpoints or, where more are known, those in the training."""
    beside = {look.step: look.loss for look in _all(timeline, CheckpointValidated)}
    inside = {look.step: look.loss for look in _all(timeline, TrainingValidated)}
    found = beside if len(beside) >= len(inside) else inside
    return tuple(LossPoint(attempt=0, step=step, loss=loss) for step, loss in sorted(found.items()) if loss == loss)


def stage_lines(timeline: Sequence[Stored[Message]]) -> tuple[StageLine, ...]:
    """Every stage that began, in the order of the chain, with the cost that the monitor recorded."""
    begins: dict[str, datetime] = {}
    for stored in timeline:
        if isinstance(stored.message, StageStarted | StageCompleted):
            name = stored.message.stage
            begins[name] = min(_begin_of(stored), begins.get(name, stored.time))
    return tuple(_stage_line(timeline, name, begins[name]) for name in STAGES if name in begins)


def _stage_line(timeline: Sequence[Stored[Message]], name: str, begin: datetime) -> StageLine:
    completed = [each for each in _all(timeline, StageCompleted) if each.stage == name]
    costs = [each.usd for each in _all(timeline, CostRecorded) if each.stage == name]
    unfinished_s = max(0.0, (_ended_at(timeline) - begin).total_seconds())
    return StageLine(
        name=name,
        begin_s=(begin - _began_at(timeline)).total_seconds(),
        seconds=sum(each.seconds for each in completed) if completed else unfinished_s,
        cpu_seconds=sum(each.cpu_seconds for each in completed),
        usd=sum(costs) if costs else None,
        num_completed=len(completed),
    )


def _begin_of(stored: Stored[Message]) -> datetime:
    """When it began what a message tells of: a stage that ran before there was a log was published at its end."""
    seconds = stored.message.seconds if isinstance(stored.message, StageCompleted) else 0.0
    return stored.time - timedelta(seconds=seconds)


def _began_at(timeline: Sequence[Stored[Message]]) -> datetime:
    return min(_begin_of(stored) for stored in timeline)


def _ended_at(timeline: Sequence[Stored[Message]]) -> datetime:
    """The run's ending, or the last of the demo's own stages, which follow it; what comes later tells nothing of it."""
    endings = [stored.time for stored in timeline if isinstance(stored.message, ENDINGS)]
    if not endings:
        return timeline[-1].time
    own = [
        stored.time
        for stored in timeline
        if isinstance(stored.message, StageStarted | StageCompleted) and stored.message.stage not in RUN_STAGES
    ]
    return max([endings[0], *own])  # alarms and deployments of later days are no part of the run


def _trials(timeline: Sequence[Stored[Message]]) -> tuple[TrialCompleted, ...]:
    """The trials by number; a redone trial counts once, with its last result."""
    # A dict keeps the last of equal numbers.
    trials = {trial.trial: trial for trial in _all(timeline, TrialCompleted)}
    return tuple(trial for _, trial in sorted(trials.items()))


def interruptions(timeline: Sequence[Stored[Message]]) -> tuple[Interruption, ...]:
    """Each loss of the workers with the resumption that followed it."""
    found: list[Interruption] = []
    for stored in timeline:
        match stored.message:
            case TrainingInterrupted(cause=cause, last_step=step, detail=detail):
                words = one_line(cause.replace("_", " "))
                found.append(Interruption(cause=words, last_step=step, detail=one_line(detail)))
            case TrainingResumed(resume_step=resume, seconds_lost=lost) if found and found[-1].resume_step is None:
                found[-1] = replace(found[-1], resume_step=resume, seconds_lost=lost)
    return tuple(found)


def awaited_alarms(timeline: Sequence[Stored[Message]]) -> tuple[AlarmRaised, ...]:
    """The alarms since the watch began, without one all there are, which then were false alarms.

    Alarms about prompts come first: another kind of request explains slower or less certain answers, not the reverse.
    """
    is_watching = [isinstance(each.message, StageStarted) and each.message.stage == "watch" for each in timeline]
    after = _all(timeline[is_watching.index(True) :], AlarmRaised) if any(is_watching) else []
    return tuple(sorted(after or _all(timeline, AlarmRaised), key=lambda alarm: not alarm.signal.startswith("prompt")))


def _prompt(accepted: RunAccepted | None) -> str:
    """How a text of the run's kind may begin."""
    is_code = accepted is not None and accepted.recipe.get("profile") == "code"
    return "def add(" if is_code else "Once upon a time"


def _asked(accepted: RunAccepted | None, specialist: Specialist | None, prompt: str) -> dict[str, Any]:
    """A request that the model learned to answer: the body without its name."""
    task: Any = accepted.recipe.get("task") if accepted is not None else None
    if not task:
        return {"prompt": prompt, "max_tokens": 32}
    question = specialist.answers[0].question if specialist is not None and specialist.answers else "an input"
    system = [{"role": "system", "content": task["prompt"]}] if task.get("prompt") else []
    messages = [*system, {"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": task.get("max_answer_tokens", 256), "temperature": 0}


def curl_line(openai_url: str, model: str, asked: dict[str, Any]) -> str:
    """What to paste into bash to talk to the model.

    The key stays out of it, since a card is made to be shared, and out of curl's arguments, which everybody can read.
    """
    body = shlex.quote(json.dumps({"model": model, **asked}))
    path = "chat/completions" if "messages" in asked else "completions"
    return (
        f"curl {openai_url}/{path} -H 'Content-Type: application/json'"
        f" -H @<(ropewalk status --json | python3 -c 'import json,sys;"
        f'print("Authorization: Bearer", json.load(sys.stdin)["demo_key"])\') -d {body}'
    )


def _in_words(evaluated: EvaluationCompleted) -> tuple[Estimate, ...]:
    """An older log has nothing but the metric's name to say what was measured: `baseline_unigram_bits_per_byte`."""
    own = [each.metric for each in evaluated.estimates if each.subject == evaluated.checkpoint_id]
    return tuple(each if each.quantity else _guessed(each, own) for each in evaluated.estimates)


def _guessed(estimate: Estimate, own: Sequence[str]) -> Estimate:
    metric = estimate.metric.removesuffix("_gain")
    quantity = next((name for name in own if metric.endswith(name)), metric).replace("_", " ")
    return estimate.model_copy(update={"quantity": quantity, "paired": metric != estimate.metric})


def _num_over(timeline: Sequence[Stored[Message]], alarms: Sequence[AlarmRaised]) -> int:
    over = {each.alarm_id for each in _all(timeline, AlarmCleared)}
    return sum(alarm.alarm_id in over for alarm in alarms)


def _tokens_per_s(steps: Sequence[StepMetrics]) -> float:
    stepping_s = sum(row.step_s for row in steps)
    return sum(row.tokens for row in steps) / stepping_s if stepping_s else 0.0


def _all(timeline: Iterable[Stored[Message]], kind: type[M]) -> list[M]:
    return [stored.message for stored in timeline if isinstance(stored.message, kind)]


def _last(timeline: Iterable[Stored[Message]], kind: type[M]) -> M | None:
    return last_of([stored.message for stored in timeline], kind)
