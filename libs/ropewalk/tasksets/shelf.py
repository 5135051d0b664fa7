"""Task sets as files somebody wrote, and as sealed folders in the object store whose key is the hash of the content."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ropewalk.events.foreign import one_line
from ropewalk.recipes.reading import read_recipe_file
from ropewalk.recipes.recipe import RecipeError
from ropewalk.recipes.sentences import sentences_of
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.beside import beside, bytes_of
from ropewalk.tasksets.definition import TaskSetFile
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.items import MAX_BYTES, SPLITS, TaskItem, in_split, read_items, split_of

DEFINITION, ITEMS = "task_set.json", "items.jsonl"
SUITE = Path(__file__).with_name("suite")  # the task sets that ship


@dataclass(frozen=True, kw_only=True)
class ReadTaskSet:
    """A definition with its items; `body` is the file they came from."""

    definition: TaskSetFile
    items: tuple[TaskItem, ...]
    body: bytes

    @property
    def definition_bytes(self) -> bytes:
        """The canonical form of the definition: the same for the same values."""
        return self.definition.model_dump_json(indent=1).encode()

    @property
    def content(self) -> str:
        """The hash of both."""
        return hashlib.sha256(hashlib.sha256(self.definition_bytes).digest() + self.body).hexdigest()

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
    try:
        fields = read_recipe_file(path, "task set")
    except RecipeError as error:
        raise TaskSetError(*error.violations) from None
    try:
        definition = TaskSetFile.model_validate(fields)
    except ValidationError as error:
        name = one_line(path.name)
        lines = YamlLines(path.read_bytes())  # bounded above
        sentences = sentences_of(error, TaskSetFile, lambda location: f"{name} line {lines.of(location)}: ")
        raise TaskSetError(*sentences) from None
    file = definition.data.file
    body = bytes_of(beside(path, file, "data.file"), MAX_BYTES)
    items = read_items(body, definition, one_line(file))
    if (sha256 := hashlib.sha256(body).hexdigest()) != definition.data.sha256:
        raise TaskSetError(
            f"data.sha256 is {definition.data.sha256} and {one_line(file)} has {sha256}: if that is what you mean, "
            "write it there; what was frozen before needs a new version"
        )
    return ReadTaskSet(definition=definition, items=items, body=body)


def key_of(content: str) -> str:
    """Where a content lies in the store."""
    return f"task_sets/{content}"


def store_task_set(objects: ObjectStore, found: ReadTaskSet, scratch: Path) -> str:
    """Put a task set into the store, unless it is there; `scratch` is a folder that is not there yet. Its key."""
    key = key_of(found.content)
    if not objects.exists(key):
        scratch.mkdir(parents=True)
        (scratch / DEFINITION).write_bytes(found.definition_bytes)
        (scratch / ITEMS).write_bytes(found.body)
        objects.publish(scratch, key, {"task_set": found.definition.full_name})
        shutil.rmtree(scratch, ignore_errors=True)
    return key


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
        with (folder / ITEMS).open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)  # one more is refused below
    except (OSError, ValueError) as error:
        raise TaskSetError(f"{folder.name} holds no task set: {' '.join(str(error).split())[:200]}") from None
    return ReadTaskSet(definition=definition, items=read_items(body, definition, ITEMS), body=body)


class YamlLines:
    """The lines of a YAML file on which its fields stand."""

    def __init__(self, body: bytes) -> None:
        self._root: Any = yaml.compose(body, Loader=yaml.SafeLoader)

    def of(self, location: Iterable[str | int]) -> int:
        """Of the deepest part of a place that is there."""
        node = self._root
        line = 1
        for part in location:
            inner = _inside(node, part)
            if inner is None:
                break
            node, line = inner
        return line


def _inside(node: Any, part: str | int) -> tuple[Any, int] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark.line + 1) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None
