"""Task sets as people write them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ropewalk.events.task_set import TaskSetRegistered


def questions(count: int = 60, *, per_cluster: int = 2) -> list[dict[str, Any]]:
    """Items of multiple choice, `per_cluster` of them in a cluster."""
    return [
        {
            "question": f"What comes after {number}?",
            "choices": [str(number + 1), str(number + 2), str(number)],
            "answer": 0,
            "group": f"g{number // per_cluster}",
        }
        for number in range(count)
    ]


def write_task_set(folder: Path, items: Sequence[Any] | None = None, **fields: Any) -> Path:
    """The YAML, with the items beside it and their hash in it. An item that is a text is a line as it is."""
    rows = questions() if items is None else items
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    body = "".join(f"{line}\n" for line in lines).encode()
    folder.mkdir(exist_ok=True)
    (folder / "items.jsonl").write_bytes(body)
    definition: dict[str, Any] = {
        "id": "counting",
        "version": 1,
        "use_case": "to count",
        "data": {"file": "items.jsonl", "sha256": hashlib.sha256(body).hexdigest()},
        "licence": "CC0-1.0",
        "cluster_key": "group",
        "type": "mc",
        "splits": {"dev": 1.0, "calibration": 0.0, "gate": 0.0},
        **fields,
    }
    path = folder / "task-set.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in definition.items() if value is not None}))
    return path


def registered(content: str, version: int = 1) -> TaskSetRegistered:
    """What the log says of a task set whose items have this hash."""
    return TaskSetRegistered(
        task_set_id="copying",
        version=version,
        content=content,
        kind="mc",
        use_case="to copy",
        licence="CC0-1.0",
        metrics=("acc",),
        primary="",
        guardrails=(),
        num_items=20,
        num_clusters=20,
        splits={"dev": 20},
    )
