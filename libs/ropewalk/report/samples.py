"""What the model said when it was judged, from the sealed report of the evaluation."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.evaluation import EvaluationCompleted
from ropewalk.events.foreign import cut
from ropewalk.report.card import CardAnswer, CardSample, Specialist
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.usecases.comparison import CANDIDATE, TaskSection

NUM_SAMPLES = 6
_FILES = ("samples.jsonl", "completions.jsonl")  # the first that has lines counts
_MOST_LINES = 64
_MOST_CHARACTERS = 600


def samples_of(timeline: Sequence[Stored[Message]], objects: ObjectStore) -> tuple[CardSample, ...]:
    """Some of the completions of the run's last evaluation; none where there was none or it cannot be read."""
    try:
        folder = _evaluation(timeline, objects)
        return next((found for name in _FILES if (found := _read(folder / name))), ())
    except (StorageError, OSError, ValueError):
        return ()


def specialist_of(timeline: Sequence[Stored[Message]], objects: ObjectStore) -> Specialist | None:
    """What the run's last evaluation says about its task; None where it had none or that cannot be read."""
    try:
        folder = _evaluation(timeline, objects)
        found = json.loads((folder / "report.json").read_bytes()).get("task")
        if found is None:
            return None
        section = TaskSection.model_validate(found)
        with (folder / "answers.jsonl").open(encoding="utf-8") as lines:
            answers = tuple(_answer(json.loads(line), section.before) for line in islice(lines, NUM_SAMPLES))
    except (StorageError, OSError, ValueError):
        return None
    return Specialist(section=section, answers=answers)


def _answer(record: dict[str, Any], before: str) -> CardAnswer:
    said = record["said"]
    question, wanted, *answers = (
        cut(str(text), _MOST_CHARACTERS)
        for text in (record["question"], record["wanted"], said.get(before, ""), said.get(CANDIDATE, ""))
    )
    return CardAnswer(question=question, before=answers[0], after=answers[1], wanted=wanted)


def _evaluation(timeline: Sequence[Stored[Message]], objects: ObjectStore) -> Path:
    """Raises FileNotFoundError where there was none, StorageError."""
    evaluated = [stored.message for stored in timeline if isinstance(stored.message, EvaluationCompleted)]
    if not evaluated:
        raise FileNotFoundError("the run has no evaluation")
    return objects.fetch(evaluated[-1].uri)


def _read(path: Path) -> tuple[CardSample, ...]:
    """Of different files where there are several, so that the samples show more than one."""
    if not path.is_file():
        return ()
    by_source: dict[str, CardSample] = {}
    with path.open(encoding="utf-8") as lines:
        for record in map(json.loads, islice(lines, _MOST_LINES)):
            sample = CardSample(
                source=str(record.get("path", "")),
                prompt=str(record.get("prompt_end", ""))[-_MOST_CHARACTERS:],
                completion=str(record.get("completion", ""))[:_MOST_CHARACTERS],
            )
            by_source.setdefault(sample.source, sample)
    return tuple(by_source.values())[:NUM_SAMPLES]
