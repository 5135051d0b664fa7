"""What the model said when it was judged, from the sealed report of the evaluation."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.evaluation import EvaluationCompleted
from ropewalk.report.card import CardSample
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore

NUM_SAMPLES = 6
_FILES = ("samples.jsonl", "completions.jsonl")  # the first that has lines counts
_MOST_LINES = 64
_MOST_CHARACTERS = 600


def samples_of(timeline: Sequence[Stored[Message]], objects: ObjectStore) -> tuple[CardSample, ...]:
    """Some of the completions of the run's last evaluation; none where there was none or it cannot be read."""
    evaluated = [stored.message for stored in timeline if isinstance(stored.message, EvaluationCompleted)]
    if not evaluated:
        return ()
    try:
        folder = objects.fetch(evaluated[-1].uri)
        return next((found for name in _FILES if (found := _read(folder / name))), ())
    except (StorageError, OSError, ValueError):
        return ()


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
