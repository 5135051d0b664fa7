"""The items of a task set: JSON lines, bounded and checked before anything is made of them, a sentence per fault."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import JsonValue

from ropewalk.events.foreign import quoted
from ropewalk.recipes.sentences import bounded
from ropewalk.tasksets.definition import FIELD, Split, TaskSetFile
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.usecases.schema import AnswerChecker

MAX_BYTES = 32 * 1024 * 1024
MAX_ITEMS = 5_000
_MAX_LINE = 256 * 1024
_MAX_TEXT, _MAX_CHOICE, _MAX_CLUSTER = 65_536, 4_096, 200  # characters
MOST_JUDGED = 8_192  # characters of a question, a reference, a note or an answer that people and judges read
_MAX_CHOICES, _MAX_FIELDS, _MAX_DEPTH = 26, 32, 16
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class TaskItem:
    """One item. `fields` are its texts by name; `answer` is None for a text that is only read."""

    item_id: str
    cluster: str
    fields: dict[str, str]
    choices: tuple[str, ...] = ()
    answer: JsonValue = None

    def told(self, template: str) -> str:
        """The template with the item's fields; what is in them is never read as a template."""
        return FIELD.sub(lambda found: self.fields[found[1]], template)

    def asked(self, of: TaskSetFile) -> str:
        """What a model reads of the item, without the words of a template."""
        return "\n".join(self.fields[name] for name in of.fields)

    @property
    def right(self) -> tuple[str, ...]:
        """Every answer that is right, as a text."""
        if self.choices and isinstance(self.answer, int):
            return (self.choices[self.answer],)
        if isinstance(self.answer, list) and all(isinstance(each, str) for each in self.answer):
            return tuple(map(str, self.answer))
        return () if self.answer is None else (self.answer if isinstance(self.answer, str) else dumped(self.answer),)


def read_items(body: bytes, wanted: TaskSetFile, name: str) -> tuple[TaskItem, ...]:
    """The items in a file, which sentences call `name`. Raises TaskSetError."""
    if len(body) > MAX_BYTES:
        raise TaskSetError(f"{name} is larger than {MAX_BYTES >> 20} MB: take a sample, or make two task sets of it")
    items: dict[str, tuple[int, TaskItem]] = {}
    faults: list[str] = []
    checker = AnswerChecker(wanted.json_schema)
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        if len(items) + len(faults) >= MAX_ITEMS:
            faults.append(f"{name} has more than {MAX_ITEMS:,} items: take a sample, or make two task sets of it")
            break
        try:
            item = _item(record_of(line), wanted, checker)
        except ValueError as fault:
            faults.append(f"{name} line {number}: {fault}")
            continue
        if item.item_id in items:
            faults.append(f"{name} line {number}: it repeats line {items[item.item_id][0]}: leave one of them out")
        items.setdefault(item.item_id, (number, item))
    found = tuple(item for _, item in items.values())
    if faults or (faults := list(_faults_of_all(found, wanted, name))):
        raise TaskSetError(*bounded(faults))
    return found


def split_of(task_set_id: str, cluster: str, wanted: TaskSetFile) -> Split:
    """Where a cluster belongs: a hash decides, so nobody chooses, and another version leaves it where it is."""
    drawn = hashlib.sha256(f"ropewalk task set split\n{task_set_id}\n{cluster}".encode()).digest()
    place = int.from_bytes(drawn[:8], "big") / 2**64
    if place < wanted.splits.dev:
        return "dev"
    return "calibration" if place < wanted.splits.dev + wanted.splits.calibration else "gate"


def in_split(items: Iterable[TaskItem], wanted: TaskSetFile, split: Split) -> tuple[TaskItem, ...]:
    """The items of a split, in hash order, so that the first of them are a fair sample."""
    chosen = (item for item in items if split_of(wanted.id, item.cluster, wanted) == split)
    return tuple(sorted(chosen, key=lambda item: item.item_id))


def record_of(line: bytes) -> dict[str, Any]:
    if len(line) > _MAX_LINE:
        raise ValueError(f"{len(line):,} bytes in one line: {_MAX_LINE:,} are allowed")
    if _depth(line) > _MAX_DEPTH:
        raise ValueError(f"values are nested more than {_MAX_DEPTH} deep: flatten them")
    try:
        record = json.loads(line, parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({str(error)[:100]}): write one object per line") from None
    if not isinstance(record, dict) or len(record) > _MAX_FIELDS:
        raise ValueError(f"it is no object of at most {_MAX_FIELDS} fields: write one object per line")
    return record


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _depth(line: bytes) -> int:
    """Brackets that are open at once, those in texts too: counted before a parser recurses."""
    depth = deepest = 0
    for byte in line:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _item(record: dict[str, Any], wanted: TaskSetFile, checker: AnswerChecker) -> TaskItem:
    fields = {str(name): value for name, value in record.items() if isinstance(value, str) and name != "answer"}
    if (long := next((name for name, value in fields.items() if len(value) > _MAX_TEXT), None)) is not None:
        raise ValueError(f"field {quoted(long)} has more than {_MAX_TEXT:,} characters: shorten it")
    if not all(is_text(each) for each in fields.values()):
        raise ValueError("a text has half of a character (a lone surrogate) in it: write it as UTF-8")
    cluster = fields.get(wanted.cluster_key, "")
    if not 1 <= len(cluster) <= _MAX_CLUSTER:
        raise ValueError(
            f"field {wanted.cluster_key!r} (cluster_key) has the value {quoted(record.get(wanted.cluster_key))}: "
            f"say in 1 to {_MAX_CLUSTER} characters what the item varies together with"
        )
    needed = (
        {"text"} if wanted.type == "rolling" else {name for each in wanted.templates for name in FIELD.findall(each)}
    )
    if missing := sorted(name for name in needed if not fields.get(name)):
        raise ValueError(f"field {missing[0]!r} has the value {quoted(record.get(missing[0]))}: it is a text")
    choices, answer = record.get("choices", ()), record.get("answer")
    if wanted.is_judged:
        _check_judged(record, fields, wanted)
        answer = record.get("reference")  # one answer that is right, as far as anybody wrote one down
    if wanted.type == "code" and not (answer := fields.get("tests")):
        raise ValueError("field 'tests' is missing: it is Python that fails where the program is wrong")
    _check_answer(choices, answer, wanted, checker)
    content = {name: record[name] for name in sorted(record) if name != "id"}
    return TaskItem(
        item_id=hashlib.sha256(dumped(content).encode()).hexdigest()[:16],
        cluster=cluster,
        fields=fields,
        choices=tuple(choices) if wanted.type == "mc" else (),
        answer=answer,
    )


def _check_judged(record: dict[str, Any], fields: dict[str, str], wanted: TaskSetFile) -> None:
    if "answer" in record:
        raise ValueError(f"field 'answer' is not for the type {wanted.type}: a right answer is its `reference`")
    for name in ("reference", "note"):
        if name in record and name not in fields:
            raise ValueError(f"field {name!r} has the value {quoted(record[name])}: it is a text")
    told = FIELD.sub(lambda found: fields[found[1]], wanted.templates[0])
    for name, text in (("what is asked", told), *((name, fields.get(name, "")) for name in ("reference", "note"))):
        if len(text) > MOST_JUDGED:
            raise ValueError(f"{name} has {len(text):,} characters: people and judges read {MOST_JUDGED:,} at most")


def _check_answer(choices: Any, answer: Any, wanted: TaskSetFile, checker: AnswerChecker) -> None:
    match wanted.type:
        case "mc":
            sound = isinstance(choices, list) and 2 <= len(choices) <= _MAX_CHOICES
            if not sound or not all(isinstance(each, str) and 1 <= len(each) <= _MAX_CHOICE for each in choices):
                raise ValueError(f"field 'choices' has the value {quoted(choices)}: it is a list of 2 to 26 texts")
            if len(set(choices)) < len(choices):
                raise ValueError("field 'choices' has a choice twice: leave one out")
            if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
                raise ValueError(f"field 'answer' has the value {quoted(answer)}: it is the place of a choice, from 0")
        case "generate":
            texts = answer if isinstance(answer, list) else [answer]
            if not 1 <= len(texts) <= _MAX_CHOICES or not all(
                isinstance(each, str) and 1 <= len(each) <= _MAX_TEXT for each in texts
            ):
                raise ValueError(f"field 'answer' has the value {quoted(answer)}: it is a text, or a list of them")
        case "schema":
            if not isinstance(answer, dict | list) or not checker.fits(answer):
                raise ValueError(f"field 'answer' has the value {quoted(answer)}: it must fit json_schema")


def _faults_of_all(items: tuple[TaskItem, ...], wanted: TaskSetFile, name: str) -> Iterator[str]:
    counts = Counter(split_of(wanted.id, item.cluster, wanted) for item in items)
    there = counts[wanted.used_split]
    if there < wanted.min_items:
        yield (
            f"{name} has {there} items in the split {wanted.used_split}, of {len(items)} in all, and min_items is "
            f"{wanted.min_items}: add items, or give the split a larger share under splits"
        )


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def dumped(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
