"""Judges as files somebody wrote, and as sealed folders in the object store whose key is the hash of the content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.foreign import one_line
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.beside import beside, bytes_of
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.judges.definition import JudgeFile
from ropewalk.tasksets.judges.labels import MAX_BYTES, JudgedAnswer, read_labels
from ropewalk.tasksets.judges.rubric import RUBRIC, RubricFile, rubric_beside
from ropewalk.tasksets.shelf import store_files
from ropewalk.tasksets.yaml_file import read_yaml

_JUDGE, _LABELS, RECORDED = "judge.json", "labels.jsonl", "recorded.jsonl"
_MOST_RECORDED = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ReadJudge:
    """A judge with its rubric and labelled answers, and the files that they came from."""

    definition: JudgeFile
    rubric: RubricFile
    answers: tuple[JudgedAnswer, ...]
    labels: bytes
    recorded: bytes = b""

    @property
    def files(self) -> dict[str, bytes]:
        """What is stored, by name; equal values have equal bytes."""
        made = {
            _JUDGE: self.definition.model_dump_json(indent=1).encode(),
            RUBRIC: self.rubric.model_dump_json(indent=1).encode(),
            _LABELS: self.labels,
        }
        return made | ({RECORDED: self.recorded} if self.recorded else {})

    @property
    def content(self) -> str:
        """The hash of all of it."""
        digests = [hashlib.sha256(body).digest() for body in self.files.values()]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    @property
    def labels_digest(self) -> str:
        """The hash of the labels alone."""
        return hashlib.sha256(self.labels).hexdigest()


def read_judge(path: Path, labels: Path) -> ReadJudge:
    """The judge of a YAML file, its rubric, and a file of labels. Raises TaskSetError."""
    definition = read_yaml(path, JudgeFile, "judge")
    rubric = rubric_beside(path, definition.rubric)
    body = bytes_of(labels, MAX_BYTES)
    answers = read_labels(body, rubric, one_line(labels.name))
    recorded = b""
    if definition.recorded:
        recorded = bytes_of(beside(path, definition.recorded, "recorded"), _MOST_RECORDED)
    if len(recorded) > _MOST_RECORDED:
        raise TaskSetError(f"recorded {one_line(definition.recorded)} is larger than {_MOST_RECORDED >> 20} MB")
    return ReadJudge(definition=definition, rubric=rubric, answers=answers, labels=body, recorded=recorded)


def key_of(content: str) -> str:
    """Where a content lies in the store."""
    return f"judges/{content}"


def store_judge(objects: ObjectStore, found: ReadJudge, scratch: Path) -> None:
    """Put a judge into the store, unless it is there; `scratch` is a folder that is not there yet."""
    store_files(objects, key_of(found.content), found.files, {"judge": found.definition.id}, scratch)


def stored_judge(folder: Path) -> ReadJudge:
    """What lies in a fetched folder, checked anew: whoever has the store's key may have put it there."""
    try:
        definition = JudgeFile.model_validate_json((folder / _JUDGE).read_bytes())
        rubric = RubricFile.model_validate_json((folder / RUBRIC).read_bytes())
    except (OSError, ValueError) as error:
        raise TaskSetError(f"{folder.name} holds no judge: {' '.join(str(error).split())[:200]}") from None
    body = bytes_of(folder / _LABELS, MAX_BYTES)
    recorded = bytes_of(folder / RECORDED, _MOST_RECORDED) if definition.recorded else b""
    answers = read_labels(body, rubric, _LABELS)
    return ReadJudge(definition=definition, rubric=rubric, answers=answers, labels=body, recorded=recorded)
