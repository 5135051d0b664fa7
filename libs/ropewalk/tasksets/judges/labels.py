"""Answers that people graded: JSON lines, one answer by one criterion each, with a sentence per fault."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ropewalk.events.foreign import quoted
from ropewalk.recipes.sentences import bounded
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.items import MOST_JUDGED, dumped, is_text, record_of
from ropewalk.tasksets.judges.rubric import Criterion, RubricFile

MAX_BYTES, MAX_ITEMS = 8 * 1024 * 1024, 1_000
_MOST_NAME, _MOST_RATERS = 100, 16
_TEXTS = ("question", "reference", "note", "answer")
_FIELDS = (*_TEXTS, "criterion", "cluster", "labels", "chance", "by")


@dataclass(frozen=True, kw_only=True)
class JudgedAnswer:
    """What a judge reads, and how people graded it: `labels` by rater, empty where nobody did.

    `chance` is that with which it was drawn to be labelled. `by`: the family of the model that wrote it.
    """

    criterion: str
    answer: str
    question: str = ""
    reference: str = ""
    note: str = ""
    cluster: str = ""
    labels: dict[str, int]
    chance: float = 1.0
    by: str = ""

    @property
    def item_id(self) -> str:
        """The hash of what a judge reads: another label does not make another answer of it."""
        told = (self.criterion, self.question, self.reference, self.note, self.answer)
        return hashlib.sha256(dumped(told).encode()).hexdigest()[:16]


def read_labels(body: bytes, rubric: RubricFile, name: str) -> tuple[JudgedAnswer, ...]:
    """The answers in a file, which sentences call `name`. Raises TaskSetError."""
    if len(body) > MAX_BYTES:
        raise TaskSetError(f"{name} is larger than {MAX_BYTES >> 20} MB: take a sample")
    found: dict[str, tuple[int, JudgedAnswer]] = {}
    faults: list[str] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        if len(found) + len(faults) >= MAX_ITEMS:
            faults.append(f"{name} has more than {MAX_ITEMS:,} answers: take a sample")
            break
        try:
            answer = _answer(record_of(line), rubric)
        except ValueError as fault:
            faults.append(f"{name} line {number}: {fault}")
            continue
        if answer.item_id in found:
            faults.append(f"{name} line {number}: it repeats line {found[answer.item_id][0]}: put the labels on one")
        found.setdefault(answer.item_id, (number, answer))
    if faults := faults or list(_faults_of_all(found, name)):
        raise TaskSetError(*bounded(faults))
    return tuple(answer for _, answer in found.values())


def _answer(record: dict[str, Any], rubric: RubricFile) -> JudgedAnswer:
    if unknown := sorted(set(record) - set(_FIELDS)):
        raise ValueError(f"unknown field {quoted(unknown[0])}: an answer has {', '.join(_FIELDS)}")
    for field in (*_TEXTS, "cluster", "by"):
        value, most = record.get(field, ""), MOST_JUDGED if field in _TEXTS else _MOST_NAME
        if not isinstance(value, str) or len(value) > most or not is_text(value):
            raise ValueError(
                f"field {field!r} has the value {quoted(value)}: it is a text of at most {most:,} characters"
            )
    if (criterion := record.get("criterion")) not in rubric.criteria:
        raise ValueError(f"field 'criterion' has the value {quoted(criterion)}: one of {', '.join(rubric.criteria)}")
    chance = record.get("chance", 1.0)
    if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 < chance <= 1:
        raise ValueError(f"field 'chance' has the value {quoted(chance)}: with which chance it was drawn, up to 1")
    if "answer" not in record:
        raise ValueError("field 'answer' is missing: it is what is graded")
    labels = record.get("labels", {})
    _check_labels(labels, rubric.criteria[str(criterion)])
    return JudgedAnswer(**{**record, "labels": labels, "chance": float(chance)})


def _check_labels(labels: Any, criterion: Criterion) -> None:
    if not isinstance(labels, dict) or len(labels) > _MOST_RATERS or any(len(each) > _MOST_NAME for each in labels):
        raise ValueError(f"field 'labels' has the value {quoted(labels)}: grades by rater, of {_MOST_RATERS} at most")
    for rater, grade in labels.items():
        if isinstance(grade, bool) or grade not in criterion.numbers or not isinstance(grade, int):
            raise ValueError(f"label of {quoted(rater)} is {quoted(grade)}: a grade from 0 to {criterion.numbers[-1]}")


def _faults_of_all(found: dict[str, tuple[int, JudgedAnswer]], name: str) -> Iterator[str]:
    answers = [answer for _, answer in found.values()]
    if not any(answer.labels for answer in answers):
        yield f'{name} has no labels: write for example `"labels": {{"anna": 2}}`'
    if len({rater for answer in answers for rater in answer.labels}) > _MOST_RATERS:
        yield f"{name} has more than {_MOST_RATERS} raters: leave some out"
    if not all(answer.labels for answer in answers) and all(answer.chance == 1 for answer in answers):
        yield f"{name} has answers without labels: say in `chance` with which chance those with labels were drawn"
