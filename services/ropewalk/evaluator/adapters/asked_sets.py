"""What came of the task sets of a run, as the process that measures hands it on."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.adapters.judging.bench import JudgedLook
from ropewalk.evaluator.adapters.measuring import SetToAsk
from ropewalk.evaluator.domain.metric import Measurement
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.tasksets.definition import WRITTEN, TaskSetFile
from ropewalk.tasksets.items import TaskItem
from ropewalk.tasksets.section import TaskSetSection

MOST_ANSWERS = 128  # that are written for a task set, as for a task


@dataclass(frozen=True, kw_only=True)
class AskedSets:
    """What came of them.

    `deciding` are those that play a part in the gate, `left` how many items of their split were not asked, by metric.
    `missing` are sentences about others that should and were not measured, or not in good faith; `notes` about those
    that nobody can be held to. `judged` is to be kept.
    """

    asked: tuple[Measurement, ...] = ()
    sections: tuple[TaskSetSection, ...] = ()
    deciding: tuple[TaskSetFile, ...] = ()
    left: tuple[tuple[str, int], ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    judged: tuple[JudgedLook, ...] = ()


def together(found: Iterable[AskedSets]) -> AskedSets:
    """All of them as one."""
    return reduce(_both, found, AskedSets())


def _both(one: AskedSets, other: AskedSets) -> AskedSets:
    return AskedSets(**{field.name: getattr(one, field.name) + getattr(other, field.name) for field in fields(one)})


def why_missing(of: TaskSetFile, num_asked: int, to_ask: SetToAsk) -> str:
    """Why a task set that decides cannot; empty where it can."""
    if to_ask.blocked is None:
        return "nothing kept its items from training: submit the run again, now that it is frozen"
    if not num_asked:
        return (
            "nothing of it could be asked: a question and max_tokens must fit into the context "
            "(training.context_length), a chat takes a template (else `ask: text`), and answers take time "
            "(ROPEWALK_EVALUATOR_TASK_MINUTES)"
        )
    if num_asked < of.min_items:
        return (
            f"only {num_asked} of at least {of.min_items} items were asked: raise ROPEWALK_EVALUATOR_TASK_MINUTES, or "
            "shorten them to fit into the context"
        )
    return ""


def not_to_be_asked(of: TaskSetFile) -> str:
    """Said where what is to beat writes nothing."""
    return f"{of.full_name} would decide, but what is to beat cannot be asked it, so it is only shown"


def item_of(each: TaskItem, of: TaskSetFile, template: str) -> Item:
    """An item as models read it."""
    told = each.asked(of) if of.type == "rolling" else each.told(template)
    is_chat, before = of.ask == "chat" and of.type in WRITTEN, of.delimiter if of.type == "mc" else ""
    return Item(
        item_id=each.item_id,
        path=f"{of.full_name}/{each.item_id}",
        text="" if is_chat else told,
        turns=(ChatMessage(role="user", content=told),) if is_chat else (),
        cluster_key=each.cluster,
        choices=tuple(before + choice for choice in each.choices),
        reference=next(iter(each.right), ""),
        references=tuple(before + right for right in each.right),
    )
