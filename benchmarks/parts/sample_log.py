"""Runs as the seven services write them, made up: for benchmarks and tests that need a long log quickly."""

from collections.abc import Iterator

from ropewalk.events import checkpoint, data, evaluation, monitoring, run, serving, training
from ropewalk.events.base import Message

STAGES = ("ingest", "preprocess", "train", "evaluate", "deploy", "certify")
NUM_CHECKPOINTS = 6
NUM_PROGRESS = 24


def run_messages(number: int) -> Iterator[Message]:
    """Everything that lies on CONTROL about one run that goes into production, in the order of the log."""
    run_id = f"sample-{number:05}"
    recipe = {"name": f"recipe-{number % 5}", "size": "nano", "minutes": 10}
    yield run.SubmitRun(run_id=run_id, recipe=recipe, owner=f"owner-{number % 3}")
    yield run.RunAccepted(run_id=run_id, recipe=recipe, recipe_sha256="0" * 64, owner=f"owner-{number % 3}")
    for stage, facts in zip(STAGES, _facts(run_id, number), strict=True):
        yield _state(run_id, stage, "running")
        yield run.StageStarted(run_id=run_id, stage=stage, epoch=number + 1)
        yield from facts
        yield _state(run_id, stage, "done")
        yield run.StageCompleted(run_id=run_id, stage=stage, epoch=number + 1, seconds=12.5, cpu_seconds=20.25)
        yield monitoring.CostRecorded(
            run_id=run_id,
            stage=stage,
            epoch=number + 1,
            seconds=12.5,
            cpu_seconds=20.25,
            usd=0.000225 + number * 1e-7,
            usd_per_cpu_hour=0.04,
        )
    yield run.RunEnding(run_id=run_id, kind="completed", event_id=f"end-{run_id}")
    yield run.RunCompleted(run_id=run_id, outcome="promoted", model=_model(number), model_version=_version(number))


def brief_run_messages(number: int) -> Iterator[Message]:
    """A run of which little is known: it was refused a place in production."""
    run_id = f"sample-{number:05}"
    recipe = {"name": f"recipe-{number % 5}", "size": "nano", "minutes": 10}
    yield run.SubmitRun(run_id=run_id, recipe=recipe)
    yield run.RunAccepted(run_id=run_id, recipe=recipe, recipe_sha256="0" * 64)
    yield run.RunCompleted(run_id=run_id, outcome="rejected")


def _model(number: int) -> str:
    return f"model-{number % 7}"


def _version(number: int) -> int:
    return number // 7 + 1


def _state(run_id: str, stage: str, status: run.StageStatus) -> run.StageState:
    return run.StageState(
        run_id=run_id,
        stage=stage,
        status=status,
        epoch=1,
        attempt=1,
        operation_id=f"{run_id}/{stage}/{status}",
        cause_id="cause",
        cause_type="ropewalk.evt.run.accepted.v1",
        cause_body="{}",
    )


def _facts(run_id: str, number: int) -> Iterator[list[Message]]:
    """What each stage says, in the order of STAGES."""
    yield list(_ingested(run_id, number))
    yield [_dataset(run_id, number)]
    yield list(_trained(run_id, number))
    last = f"{run_id}-{number + 1}-{NUM_CHECKPOINTS * 8}"
    yield list(_evaluated(run_id, last))
    yield list(_deployed(run_id, number, last))
    yield list(_certified(run_id, number, last))


def _ingested(run_id: str, number: int) -> Iterator[Message]:
    source_id = f"source-{number % 11}"
    yield data.SourceRegistered(
        run_id=run_id, source_id=source_id, path=f"/data/{number % 11}", licence="MIT", num_files=40
    )
    segments = [
        data.SegmentRef(segment_id=f"segment-{number % 11}-{part}", uri="segments/x", num_documents=9, num_bytes=10**6)
        for part in range(3)
    ]
    for segment in segments:
        yield data.SegmentIngested(run_id=run_id, source_id=source_id, segment=segment)
    yield data.CorpusIngested(
        run_id=run_id, segments=tuple(segments), num_documents=27, num_bytes=3 * 10**6, num_quarantined=0
    )


def _dataset(run_id: str, number: int) -> Message:
    return data.DatasetPublished(
        run_id=run_id,
        dataset_version=f"dataset-{number % 11}",
        uri="datasets/x",
        tokenizer_uri="tokenizers/x",
        evalset_uri="evalsets/x",
        num_inputs=27,
        num_kept=20,
        num_held_out=2,
        dropped={"short": 5},
        num_tokens=10**6,
        num_windows=7_000,
        context_length=128,
    )


def _trained(run_id: str, number: int) -> Iterator[Message]:
    epoch, total = number + 1, NUM_CHECKPOINTS * 8
    for step in range(total):
        if step % (total // NUM_PROGRESS) == 0:
            yield training.TrainingProgressed(
                run_id=run_id,
                epoch=epoch,
                step=step,
                total_steps=total,
                loss=4.0 - step / total,
                tokens=step * 4096,
                tokens_per_s=9_000.0,
                seconds_left=60.0,
            )
        if step % 8 == 7:
            yield from _checkpoint(run_id, epoch, step + 1)


def _checkpoint(run_id: str, epoch: int, step: int) -> Iterator[Message]:
    identity, uri = f"{run_id}-{epoch}-{step}", f"runs/{run_id}/checkpoints/{epoch}-{step}"
    yield training.StepsCommitted(
        run_id=run_id,
        epoch=epoch,
        first_step=step - 8,
        last_step=step - 1,
        num_samples=256,
        sha256=f"{step:064}",
        uri=f"{uri}/ledger.jsonl",
        checkpoint_id=identity,
    )
    yield checkpoint.CheckpointSaved(
        run_id=run_id,
        checkpoint_id=identity,
        epoch=epoch,
        step=step,
        uri=uri,
        manifest_sha256="0" * 64,
        num_bytes=10**7,
        blocked_s=0.1,
    )
    yield checkpoint.CheckpointCommitted(
        run_id=run_id, checkpoint_id=identity, step=step, uri=uri, manifest_sha256="0" * 64
    )


def _evaluated(run_id: str, checkpoint_id: str) -> Iterator[Message]:
    estimate = evaluation.Estimate(
        metric="bits_per_byte", value=1.5, lower=1.4, upper=1.6, level=0.95, num_items=100, method="bootstrap"
    )
    yield evaluation.EvaluationCompleted(
        run_id=run_id, checkpoint_id=checkpoint_id, uri="evaluations/x", estimates=(estimate,)
    )
    yield evaluation.GateDecided(
        run_id=run_id,
        checkpoint_id=checkpoint_id,
        export_uri="exports/x",
        evaluation_uri="evaluations/x",
        decision="promote",
        reasons=("better than the baseline",),
        baseline="ngram",
        comparison=estimate,
    )


def _deployed(run_id: str, number: int, checkpoint_id: str) -> Iterator[Message]:
    model, version = _model(number), _version(number)
    yield serving.ModelDeploying(run_id=run_id, model=model, model_version=version, checkpoint_id=checkpoint_id)
    yield serving.ModelDeployed(
        run_id=run_id,
        model=model,
        model_version=version,
        checkpoint_id=checkpoint_id,
        checkpoint_uri="runs/x",
        export_uri="exports/x",
        evaluation_uri="evaluations/x",
        openai_url="http://127.0.0.1:8080/v1",
        triton_grpc="127.0.0.1:8001",
        triton_model=f"{model}-v{version}",
        load_s=2.5,
    )


def _certified(run_id: str, number: int, checkpoint_id: str) -> Iterator[Message]:
    model, version = _model(number), _version(number)
    yield checkpoint.ParityCertified(
        run_id=run_id,
        model=model,
        model_version=version,
        checkpoint_id=checkpoint_id,
        paths=("local", "triton", "openai"),
        num_prompts=8,
        num_tokens=128,
        passed=True,
        differences=(),
    )
    yield checkpoint.ModelPromoted(
        run_id=run_id,
        model=model,
        model_version=version,
        alias="production",
        checkpoint_id=checkpoint_id,
        export_uri="exports/x",
        manifest_sha256="0" * 64,
        evaluation_uri="evaluations/x",
    )
    yield serving.TrafficShifted(
        run_id=run_id,
        model=model,
        alias="production",
        model_version=version,
        previous_version=version - 1,
        checkpoint_id=checkpoint_id,
    )
    if version > 1:
        yield serving.ModelRetired(run_id=run_id, model=model, model_version=version - 1)
    yield from _alarm(run_id, model, version)


def _alarm(run_id: str, model: str, version: int) -> Iterator[Message]:
    yield monitoring.AlarmRaised(
        run_id=run_id,
        alarm_id=f"{model}-{version}-latency-1",
        model=model,
        model_version=version,
        signal="latency",
        statistic=612_345.5,
        threshold=600_000.0,
        false_alarm_rate=1 / 600_000,
        changed_at="2026-03-01T12:00:00.000Z",
        detected_at="2026-03-01T12:01:00.000Z",
        num_requests=300,
        baseline_mean=3.0,
        current_mean=4.0,
        detail="latency: the time per generated token rose from 3 to 4 (log2 milliseconds): answers are slower",
    )
    yield monitoring.AlarmCleared(
        run_id=run_id,
        alarm_id=f"{model}-{version}-latency-1",
        model=model,
        reason="latency returned to its baseline",
        model_version=version,
        signal="latency",
    )
