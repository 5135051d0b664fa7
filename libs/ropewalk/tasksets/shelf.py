"""Task sets as files somebody wrote, and as sealed folders in the object store whose key is the hash of the content."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ropewalk.events.foreign import one_line, quoted
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.beside import beside, bytes_of
from ropewalk.tasksets.definition import JUDGED_FIELDS, TaskSetFile
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.items import MAX_BYTES, SPLITS, TaskItem, in_split, read_items, split_of
from ropewalk.tasksets.judges.rubric import RUBRIC, RubricFile, rubric_beside
from ropewalk.tasksets.yaml_file import read_yaml

DEFINITION, ITEMS = "task_set.json", "items.jsonl"
SUITE = Path(__file__).with_name("suite")  # the task sets that ship


@dataclass(frozen=True, kw_only=True)
class ReadTaskSet:
    """A definition with its items; `body` is the file they came from. `rubric`: by which answers are judged, if so."""

    definition: TaskSetFile
    items: tuple[TaskItem, ...]
    body: bytes
    rubric: RubricFile | None = None

    @property
    def definition_bytes(self) -> bytes:
        """The canonical form of the definition: the same for the same values."""
        unsaid = set() if self.definition.is_judged else set(JUDGED_FIELDS)  # as before there were any
        return self.definition.model_dump_json(indent=1, exclude=unsaid).encode()

    @property
    def files(self) -> dict[str, bytes]:
        """What is stored, by name."""
        rubric = {RUBRIC: self.rubric.model_dump_json(indent=1).encode()} if self.rubric else {}
        return {DEFINITION: self.definition_bytes, **rubric, ITEMS: self.body}

    @property
    def content(self) -> str:
        """The hash of all of it."""
        *told, items = self.files.values()
        return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in told) + items).hexdigest()

    def facts(self) -> dict[str, Any]:
        """The fields of `TaskSetRegistered`."""
        of = self.definition
        counts = Counter(split_of(of.id, item.cluster, of) for item in self.items)
        return {
            "task_set_id": of.id,
            "version": of.version,
            "content": self.content,
            "kind": of.type,
            "use_case": one_line(of.use_case),
            "licence": one_line(of.licence),
            "metrics": of.measured,
            "primary": of.primary,
            "guardrails": of.guardrails,
            "num_items": len(self.items),
            "num_clusters": len({item.cluster for item in self.items}),
            "splits": {split: counts[split] for split in SPLITS},
        }

    def used(self) -> tuple[TaskItem, ...]:
        """The items that a run is judged on, in hash order."""
        return in_split(self.items, self.definition, self.definition.used_split)


def shipped() -> list[str]:
    """The names of the task sets that ship."""
    return sorted(path.stem for path in SUITE.glob("*.yaml"))


def read_task_set(path: Path) -> ReadTaskSet:
    """The task set of a YAML file and the items beside it. Raises TaskSetError."""
    definition = read_yaml(path, TaskSetFile, "task set")
    file = definition.data.file
    body = bytes_of(beside(path, file, "data.file"), MAX_BYTES)
    items = read_items(body, definition, one_line(file))
    if (sha256 := hashlib.sha256(body).hexdigest()) != definition.data.sha256:
        raise TaskSetError(
            f"data.sha256 is {definition.data.sha256} and {one_line(file)} has {sha256}: if that is what you mean, "
            "write it there; what was frozen before needs a new version"
        )
    rubric = rubric_beside(path, definition.rubric) if definition.is_judged else None
    return _whole(ReadTaskSet(definition=definition, items=items, body=body, rubric=rubric))


def _whole(found: ReadTaskSet) -> ReadTaskSet:
    """Raises TaskSetError where the rubric does not have what the definition names."""
    if found.rubric is None:
        return found
    known = found.rubric.criteria
    if (odd := next((name for name in found.definition.criteria if name not in known), None)) is not None:
        raise TaskSetError(f"criteria has {quoted(odd)}: {found.rubric.full_name} has {', '.join(known)}")
    return found


def key_of(content: str) -> str:
    """Where a content lies in the store."""
    return f"task_sets/{content}"


def store_task_set(objects: ObjectStore, found: ReadTaskSet, scratch: Path) -> str:
    """Put a task set into the store, unless it is there; `scratch` is a folder that is not there yet. Its key."""
    key = key_of(found.content)
    store_files(objects, key, found.files, {"task_set": found.definition.full_name}, scratch)
    return key


def store_files(
    objects: ObjectStore, key: str, files: Mapping[str, bytes], meta: dict[str, JsonValue], scratch: Path
) -> None:
    """Put files into the store by their names, unless the key is there; `scratch` is a folder that is not there yet."""
    if not objects.exists(key):
        scratch.mkdir(parents=True)
        for name, body in files.items():
            (scratch / name).write_bytes(body)
        objects.publish(scratch, key, meta)
        shutil.rmtree(scratch, ignore_errors=True)


def fetch_task_set(objects: ObjectStore, content: str) -> ReadTaskSet:
    """What lies in the store, which is asked for its size first. Takes seconds. Raises StorageError, TaskSetError."""
    key = key_of(content)
    if (num_bytes := objects.manifest(key).num_bytes) > 2 * MAX_BYTES:  # the definition and the items
        raise TaskSetError(f"{content} has {num_bytes:,} bytes: a task set has {MAX_BYTES >> 20} MB of items at most")
    return stored_task_set(objects.fetch(key))


def stored_task_set(folder: Path) -> ReadTaskSet:
    """What lies in a fetched folder, checked anew: whoever has the store's key may have put it there."""
    try:
        if (folder / DEFINITION).stat().st_size > MAX_BYTES:
            raise ValueError(f"{DEFINITION} is larger than {MAX_BYTES >> 20} MB")
        definition = TaskSetFile.model_validate_json((folder / DEFINITION).read_bytes())
        rubric = RubricFile.model_validate_json(bytes_of(folder / RUBRIC, MAX_BYTES)) if definition.is_judged else None
        with (folder / ITEMS).open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)  # one more is refused below
    except (OSError, ValueError) as error:
        raise TaskSetError(f"{folder.name} holds no task set: {' '.join(str(error).split())[:200]}") from None
    items = read_items(body, definition, ITEMS)
    return _whole(ReadTaskSet(definition=definition, items=items, body=body, rubric=rubric))
