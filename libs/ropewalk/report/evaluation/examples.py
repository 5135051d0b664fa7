"""What was said, side by side: of held-out examples and of dev splits. Of sealed items a report keeps nothing."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import cut
from ropewalk.report.evaluation.evaluated import SideBySide
from ropewalk.report.evaluation.sealed import ScoredRow, SealedReport, read_rows
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.shelf import fetch_task_set
from ropewalk.usecases.comparison import CANDIDATE, INSTRUCTION

_EACH, _MOST_CHARACTERS, _MOST_LINE = 4, 1_000, 1024 * 1024
_ANSWERS = "answers.jsonl"


def examples_of(report: SealedReport, uri: str, objects: ObjectStore) -> tuple[tuple[SideBySide, ...], list[str]]:
    """Some of the run's own task, and some of each task set or metric; and a sentence where they are lost."""
    try:
        folder = objects.fetch(uri)
        answers = _answers(folder / _ANSWERS) if (folder / _ANSWERS).is_file() else []
        return (*answers, *_of_rows(report, uri, objects)), []
    except (StorageError, ClientError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return (), ["What was said is lost, so there are no examples."]


def _answers(path: Path) -> list[SideBySide]:
    with path.open("rb") as lines:
        return [_answer(json.loads(line)) for line in islice(lines, _EACH) if len(line) <= _MOST_LINE]


def _answer(record: dict[str, Any]) -> SideBySide:
    said = {str(name): str(text) for name, text in record["said"].items()}
    others = [name for name in (INSTRUCTION, *said) if name in said and name != CANDIDATE]
    opponent = said[others[0]] if others else ""
    return _example("its task", str(record["question"]), said.get(CANDIDATE, ""), opponent, str(record["wanted"]))


def _of_rows(report: SealedReport, uri: str, objects: ObjectStore) -> list[SideBySide]:
    open_sets = {each.task_set: each for each in report.task_sets if each.split == "dev"}
    chosen: dict[str, dict[str, ScoredRow]] = {}  # by task set, or metric where it is none, and by path
    for row in read_rows(objects, uri):
        task_set, has_set, _ = row.metric.partition("/")
        if CANDIDATE in row.said and (not has_set or task_set in open_sets):
            of = chosen.setdefault(task_set, {})
            if len(of) < _EACH:
                of.setdefault(row.path, row)
    found = []
    for name, rows in chosen.items():
        right = _right(open_sets[name].content, objects) if name in open_sets else {}
        for row in rows.values():
            others = [text for scorer, text in row.said.items() if scorer != CANDIDATE]
            wanted = " or ".join(right.get(row.item_id, ()))
            source = name if name in open_sets else row.path
            found.append(_example(source, row.prompt_end, row.said[CANDIDATE], "".join(others[:1]), wanted))
    return found


def _right(content: str, objects: ObjectStore) -> dict[str, tuple[str, ...]]:
    """Right answers by item of a task set; nothing where it is lost."""
    try:
        return {each.item_id: tuple(each.right) for each in fetch_task_set(objects, content).items}
    except (StorageError, TaskSetError, OSError):
        return {}


def _example(source: str, *texts: str) -> SideBySide:
    question, candidate, opponent, reference = (cut(text, _MOST_CHARACTERS) for text in texts)
    return SideBySide(source, question, candidate, opponent, reference)
