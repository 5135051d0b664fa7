"""Reports as sealed folders."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson

from ropewalk.evaluator.adapters.measuring import Measured
from ropewalk.evaluator.domain.report import EvaluationReport
from ropewalk.storage.objects import ObjectStore

REPORT, SCORES, SAMPLES, ANSWERS = "report.json", "scores.jsonl", "samples.jsonl", "answers.jsonl"


def report_key(checkpoint_id: str, look: int = 1) -> str:
    """Where the report of a judgement of a checkpoint lies: each has one of its own."""
    return f"evaluations/{checkpoint_id}" + (f".{look}" if look > 1 else "")


def read_report(objects: ObjectStore, key: str) -> EvaluationReport | None:
    """The report under a key, if a whole one is there."""
    if not objects.exists(key):
        return None
    return EvaluationReport.model_validate_json((objects.fetch(key) / REPORT).read_bytes())


def publish_report(objects: ObjectStore, folder: Path, report: EvaluationReport, measured: Measured) -> str:
    """Write a report with the score of every item, seal it, and return its key."""
    folder.mkdir(parents=True)
    (folder / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    _write_lines(folder / SCORES, (asdict(score) for score in measured.scores))
    _write_lines(folder / SAMPLES, (asdict(sample) for sample in measured.samples))
    if measured.answers:
        _write_lines(folder / ANSWERS, (asdict(answer) for answer in measured.answers))
    key = report_key(report.checkpoint_id, report.look)
    objects.publish(folder, key, {"checkpoint_id": report.checkpoint_id, "run_id": report.run_id})
    return key


def _write_lines(path: Path, records: Iterable[dict[str, object]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
