"""What the last evaluation of a run says about task sets, from its sealed report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.bus.codec import Stored
from ropewalk.client.errors import ClientError
from ropewalk.events.base import Message
from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.section import TaskSetSection


@dataclass(frozen=True, kw_only=True)
class JudgedSet:
    """A task set with the estimates that rest on it."""

    section: TaskSetSection
    estimates: tuple[Estimate, ...]


def judged_sets(timeline: Sequence[Stored[Message]], objects: ObjectStore) -> list[JudgedSet]:
    """In the order of the recipe. Raises ClientError where there is no evaluation, or none that can be read."""
    completed = [item.message for item in timeline if isinstance(item.message, EvaluationCompleted)]
    if not completed:
        raise ClientError("the run has no evaluation yet: `ropewalk watch` shows how far it is")
    try:
        report = json.loads((objects.fetch(completed[-1].uri) / "report.json").read_bytes())
        sections = [TaskSetSection.model_validate(each) for each in report.get("task_sets", [])]
    except (StorageError, OSError, ValueError) as error:
        raise ClientError(f"the report of the evaluation cannot be read: {str(error)[:200]}") from None
    return [
        JudgedSet(
            section=each,
            estimates=tuple(found for found in completed[-1].estimates if found.task_set == each.task_set),
        )
        for each in sections
    ]


def of_people_and_judges(section: TaskSetSection) -> list[str]:
    """Sentences about the labels and judges that the figures of a judged task set rest on."""
    told = []
    if section.num_sheets:
        told = [
            f"labels of {section.num_labelled} items count; {section.num_missing} of {section.num_sheets} sheets wait "
            f"for people, {section.raters_each} each"
        ]
    for metric, means in section.judged_alone.items():
        ours, theirs = (f"{100 * each:.3g}%" for each in means)
        told.append(f"{metric} by {', '.join(section.judges)} alone, which is no measurement: {ours} against {theirs}")
    return [*told, *section.remarks]


def kept_out(section: TaskSetSection) -> str:
    """What was done to keep the items of a task set from training, in words."""
    if not section.scanned:
        return "nobody looked for its items in what the run was trained on"
    dropped = f"{section.num_dropped} documents gave its items away and were dropped"
    return f"{dropped}; searched: dataset {section.scanned[:16]}"
