"""Sealed reports of evaluations, as the evaluator would write them, in an object store."""

import json
from pathlib import Path
from typing import Any

from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.storage.local import LocalObjects


def a_gain(metric: str = "bits_per_byte_gain", **fields: Any) -> Estimate:
    usual = {"value": 0.1, "lower": 0.05, "upper": 0.2, "level": 0.95, "num_items": 40, "method": "paired bootstrap"}
    told = {"subject": "m@1", "role": "primary", "quantity": "bits per byte", "paired": True, "num_clusters": 20}
    return Estimate(metric=metric, **usual | told | fields)


def a_level(metric: str = "bits_per_byte", **fields: Any) -> Estimate:
    return a_gain(metric, **{"role": "shown", "paired": False, "method": "bootstrap", "subject": "r-1-9"} | fields)


def a_section(task_set: str = "copying@1", **fields: Any) -> dict[str, Any]:
    usual = {"content": "c", "kind": "generate", "split": "dev", "num_items": 40, "num_in_split": 60}
    told = {"num_clusters": 20, "num_dropped": 2, "scanned": "v7", "definitions": {}}
    return {"task_set": task_set, **usual, **told, **fields}


def a_row(item: str, value: float, metric: str = "bits_per_byte", **fields: Any) -> dict[str, Any]:
    usual = {"tasks": "t", "path": f"{item}.py", "cluster": item, "num_bytes": 10, "num_words": 0, "prompt_end": ""}
    return {"metric": metric, "item_id": item, "values": {"candidate": value}, "said": {}, **usual, **fields}


def seal(
    objects: LocalObjects, scratch: Path, run: str, rows: list[dict[str, Any]] | None = None, **fields: Any
) -> GateDecided:
    """A sealed report; the decision that the log would have of it."""
    look = fields.get("look", 1)
    made, uri, gain = scratch / f"{run}-{look}", f"evaluations/{run}-9" + (f".{look}" if look > 1 else ""), a_gain()
    told = {"run_id": run, "checkpoint_id": f"{run}-9", "baseline": "m@1", "margin": 0.0, "seed": 7, "look": look}
    numbers = {"estimates": [a_level().model_dump(mode="json")], "comparison": gain.model_dump(mode="json")}
    made.mkdir(parents=True)
    (made / "report.json").write_text(json.dumps(told | numbers | fields))
    (made / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or []))
    objects.publish(made, uri, {})
    return GateDecided(
        run_id=run,
        checkpoint_id=f"{run}-9",
        export_uri="exports/x",
        evaluation_uri=uri,
        decision="promote",
        reasons=("the whole interval is above the margin of 0",),
        baseline="m@1",
        comparison=gain,
        look=look,
    )
