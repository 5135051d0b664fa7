"""A made-up run, complete from the stack to the alarm, as the log would hold it."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.corpus.ledger import LedgerVerdict
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ParityCertified
from ropewalk.events.data import CorpusIngested, DatasetPublished, TokenizerTrained
from ropewalk.events.envelope import Envelope
from ropewalk.events.evaluation import Estimate, EvaluationCompleted, GateDecided
from ropewalk.events.monitoring import AlarmRaised, CostRecorded
from ropewalk.events.run import RunAccepted, RunCompleted, StageCompleted, StageStarted, SubmitRun
from ropewalk.events.serving import RequestLog
from ropewalk.events.training import (
    SearchCompleted,
    StepMetrics,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingResumed,
    TrainingStarted,
    TrialCompleted,
)
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.report.collect import CardEvidence

RUN = "python-stdlib-261123-101500-1a2b"
BEGAN = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
CHECKPOINT = f"{RUN}-7-810"
USD_PER_CPU_SECOND = 0.04 / 3600
DURATIONS = (
    ("stack", 7.2, 6.0),
    ("ingest", 4.1, 3.2),
    ("preprocess", 31.0, 48.0),
    ("search", 44.0, 71.0),
    ("train", 192.4, 341.0),
    ("export", 3.2, 2.5),
    ("evaluate", 38.5, 61.0),
    ("deploy", 5.5, 6.0),
    ("promote", 9.1, 4.0),
    ("traffic", 24.0, 21.0),
    ("watch", 11.0, 8.0),
)


@pytest.fixture
def at() -> Callable[[float, Message], Stored[Message]]:
    """A message stored so many seconds after the run began."""

    def stored(seconds: float, message: Message) -> Stored[Message]:
        time = BEGAN + timedelta(seconds=seconds)
        envelope = Envelope(id=f"{seconds}", type=message.type_name(), source="test", time="", run_id=RUN)
        return Stored(sequence=round(seconds * 1000) + 1, time=time, envelope=envelope, message=message)

    return stored


@pytest.fixture
def demo_timeline(at: Callable[[float, Message], Stored[Message]]) -> list[Stored[Message]]:
    """Every event the card looks at, in the order of the log."""
    recipe = resolve_recipe({"base": "python-stdlib"})
    inside = {
        "ingest": _ingest(),
        "preprocess": _preprocess(),
        "search": _search(),
        "train": _train(),
        "evaluate": _evaluate(),
        "promote": (_parity(),),
        "watch": (_alarm(),),
    }
    timeline = [at(0.0, SubmitRun(run_id=RUN, recipe={"base": "python-stdlib"}))]
    timeline.append(at(0.3, RunAccepted(run_id=RUN, recipe=recipe.as_json(), recipe_sha256=recipe.sha256())))
    clock = 0.4
    for stage, seconds, cpu in DURATIONS:
        timeline.append(at(clock, StageStarted(run_id=RUN, stage=stage, epoch=1)))
        for place, message in enumerate(inside.get(stage, ()), start=1):
            timeline.append(at(clock + seconds * place / 20, message))
        clock += seconds
        timeline.append(at(clock, StageCompleted(run_id=RUN, stage=stage, epoch=1, seconds=seconds, cpu_seconds=cpu)))
        timeline.append(at(clock + 0.01, _cost(stage, seconds, cpu)))
        if stage == "promote":
            done = RunCompleted(run_id=RUN, outcome="promoted", model="pycode", model_version=1)
            timeline.append(at(clock + 0.02, done))
        clock += 0.1
    return timeline


@pytest.fixture
def demo_evidence(demo_timeline: list[Stored[Message]]) -> CardEvidence:
    """The timeline with step metrics (the second attempt repeats steps 351 to 364) and request logs."""
    verdict = LedgerVerdict(
        ok=True,
        num_steps=810,
        num_samples=3240,
        num_skipped=0,
        num_repeated=0,
        num_wrong=0,
        num_missing_steps=0,
        num_discarded_steps=14,
        num_from_hash=27,
        sentences=(),
    )
    steps = [*_steps(range(365), 1), *_steps(range(351, 810), 2)]
    url = "http://127.0.0.1:8080/v1"
    return CardEvidence(timeline=demo_timeline, steps=steps, requests=_requests(), ledger=verdict, openai_url=url)


def _ingest() -> Sequence[Message]:
    return (CorpusIngested(run_id=RUN, segments=(), num_documents=712, num_bytes=11_900_000, num_quarantined=2),)


def _preprocess() -> Sequence[Message]:
    dropped = {"near duplicate": 9, "exact duplicate": 4, "too short": 61}
    return (
        TokenizerTrained(run_id=RUN, uri="tokenizers/ab", sha256="ab", vocab_size=2048, bytes_per_token=3.21),
        DatasetPublished(
            run_id=RUN,
            dataset_version="9c41d0e2f7aa" * 5,
            uri="datasets/9c",
            tokenizer_uri="tokenizers/ab",
            evalset_uri="evalsets/cd",
            num_inputs=712,
            num_kept=616,
            num_held_out=22,
            dropped=dropped,
            num_tokens=3_480_112,
            num_windows=13_594,
            context_length=256,
        ),
    )


def _search() -> Sequence[Message]:
    rates = ((0.5, 4.31, "complete"), (1.0, 4.12, "complete"), (2.1, 4.05, "complete"), (4.0, 4.9, "pruned"))
    trials = [
        TrialCompleted(
            run_id=RUN, trial=number, status=status, params={"lr_scale": rate}, loss=loss, num_steps=81, seconds=10.0
        )
        for number, (rate, loss, status) in enumerate(rates)
    ]
    return (*trials, SearchCompleted(run_id=RUN, num_trials=4, params={"lr_scale": 2.1}, loss=4.05))


def _train() -> Sequence[Message]:
    group = {
        "run_id": RUN,
        "epoch": 7,
        "strategy": "fsdp",
        "num_workers": 2,
        "total_steps": 810,
        "num_parameters": 920_448,
    }
    return (
        TrainingStarted(**group, attempt=1, worker_pids=(101, 102), resume_step=0),
        TrainingInterrupted(
            run_id=RUN, epoch=7, attempt=1, cause="worker killed (SIGKILL)", last_step=364, detail="worker 1"
        ),
        TrainingStarted(**group, attempt=2, worker_pids=(201, 202), resume_step=351),
        TrainingResumed(
            run_id=RUN, epoch=7, attempt=2, resume_step=351, checkpoint_id=f"{RUN}-7-351", seconds_lost=9.4
        ),
        TrainingCompleted(
            run_id=RUN, checkpoint_id=CHECKPOINT, uri="x", step=810, loss=2.71, tokens=829_440, seconds=190.0
        ),
    )


def _estimate(metric: str, value: float, half: float, subject: str, **more: Any) -> Estimate:
    fields = {"quantity": "bits per byte", "items": "held-out files", "num_items": 22} | more
    return Estimate(
        metric=metric,
        value=value,
        lower=value - half,
        upper=value + half,
        level=0.95,
        method="file-clustered bootstrap",
        subject=subject,
        **fields,
    )


def _evaluate() -> Sequence[Message]:
    gain = _estimate("bits_per_byte_gain", 1.18, 0.05, "token unigram", role="primary", paired=True)
    parsing = {
        "role": "guardrail",
        "quantity": "completions that parse",
        "items": "held-out prompts",
        "num_items": 64,
        "unit": "share",
        "better": "higher",
    }
    return (
        EvaluationCompleted(
            run_id=RUN,
            checkpoint_id=CHECKPOINT,
            uri="evaluations/x",
            estimates=(
                _estimate("bits_per_byte", 1.982, 0.06, CHECKPOINT),
                _estimate("parse_rate", 0.47, 0.12, CHECKPOINT, **parsing),
                _estimate("baseline_unigram_bits_per_byte", 3.162, 0.07, "token unigram"),
                _estimate("baseline_bigram_bits_per_byte", 2.013, 0.06, "token bigram"),
                _estimate("baseline_trigram_bits_per_byte", 1.744, 0.06, "token trigram"),
                gain,
            ),
        ),
        GateDecided(
            run_id=RUN,
            checkpoint_id=CHECKPOINT,
            export_uri="exports/x",
            evaluation_uri="evaluations/x",
            decision="promote",
            reasons=("the gain of 1.180 bits per byte over the token unigram has the interval 1.130 to 1.230",),
            baseline="token unigram",
            comparison=gain,
        ),
    )


def _parity() -> Message:
    return ParityCertified(
        run_id=RUN,
        model="pycode",
        model_version=1,
        checkpoint_id=CHECKPOINT,
        paths=("trainer", "export", "triton", "openai"),
        num_prompts=16,
        num_tokens=512,
        passed=True,
        differences=(),
    )


def _alarm() -> Message:
    return AlarmRaised(
        run_id=RUN,
        alarm_id="pycode-1-prompt_novelty-1",
        model="pycode",
        model_version=1,
        signal="prompt_novelty",
        statistic=231_000.0,
        threshold=100_000.0,
        false_alarm_rate=1e-5,
        changed_at="2026-11-23T10:21:38.102Z",
        detected_at="2026-11-23T10:21:40.519Z",
        num_requests=171,
        baseline_mean=2.31,
        current_mean=4.92,
        detail=(
            "prompt_novelty: the surprise of the prompt rose from 2.31 to 4.92 (bits per byte)"
            " since 2026-11-23T10:21:38.102Z: another language or domain"
        ),
    )


def _cost(stage: str, seconds: float, cpu: float) -> Message:
    usd = cpu * USD_PER_CPU_SECOND
    price = {"usd": usd, "usd_per_cpu_hour": 0.04}
    return CostRecorded(run_id=RUN, stage=stage, epoch=1, seconds=seconds, cpu_seconds=cpu, **price)


def _steps(steps: range, attempt: int) -> list[StepMetrics]:
    return [
        StepMetrics(
            time_unix=0.0,
            attempt=attempt,
            step=step,
            loss=2.6 + 4.8 * math.exp(-step / 90) + 0.12 * math.sin(step * 1.7),
            grad_norm=1.0,
            lr=0.02,
            tokens=1024,
            step_s=0.21,
            data_s=0.001,
            checkpoint_s=0.0,
        )
        for step in steps
    ]


def _requests() -> list[RequestLog]:
    rows = [_request(number, "demo", 200, 100.0 + number) for number in range(100)]
    return [*rows, _request(100, "demo", 429, 1.0), _request(101, "internal", 200, 9000.0)]


def _request(number: int, key_id: str, status: int, latency_ms: float) -> RequestLog:
    time = BEGAN + timedelta(seconds=400 + number * 0.1)
    return RequestLog(
        time=time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        request_id=str(number),
        trace_id="",
        key_id=key_id,
        model="pycode",
        model_version=1,
        run_id=RUN,
        checkpoint_id=CHECKPOINT,
        route="completions",
        status=status,
        finish_reason="length",
        stream=bool(number % 2),
        latency_ms=latency_ms,
        ttft_ms=latency_ms / 4,
        prompt_tokens=40,
        completion_tokens=10,
        prompt="def add(",
        completion="a, b):",
        logprob_mean=-1.2,
        error="",
    )
