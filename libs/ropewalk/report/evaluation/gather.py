"""Reading what the report of an evaluation shows: the log, labels, judges, and what was sealed in the store."""

import asyncio
import json
from collections.abc import Iterator, Mapping

from ropewalk.client.client import Client
from ropewalk.client.log import open_log, projections
from ropewalk.events.judge import JudgeCard
from ropewalk.projections.fold import Json
from ropewalk.projections.judges import standing_word
from ropewalk.projections.labels import Labelled
from ropewalk.report.evaluation.evaluated import Evaluated, PanelJudge
from ropewalk.report.evaluation.examples import examples_of
from ropewalk.report.evaluation.raters import RaterAgreement, agreement, by_criterion, of_registration
from ropewalk.report.evaluation.reliability import reliabilities, said_by_judge
from ropewalk.report.evaluation.sealed import SealedReport, decision_of, read_sealed
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.judges.shelf import key_of as judge_key
from ropewalk.tasksets.judges.shelf import stored_judge
from ropewalk.tasksets.shelf import DEFINITION, key_of

_LOST = (StorageError, TaskSetError, OSError, ValueError, KeyError, TypeError, AttributeError)


async def gather_evaluation(client: Client, run_id: str, look: int, objects: ObjectStore) -> Evaluated:
    """As it is now; look 0 is the newest. Raises ClientError."""
    decided = decision_of(await client.timeline(run_id), look)
    report = await asyncio.to_thread(read_sealed, objects, decided.evaluation_uri)
    labels = {each.task_set: await _labels(client, each.task_set) for each in report.task_sets}
    known = await asyncio.to_thread(_known, client)
    found = Evaluated(decided=decided, report=report)
    return await asyncio.to_thread(_with_people, found, labels, known, objects)


async def _labels(client: Client, task_set: str) -> Labelled:
    found = Labelled()
    async for stored in client.bus.read(f"log.label.*.*.{task_set.partition('@')[0]}", stream="SCORES"):
        found.add(stored.message)
    return found


def _known(client: Client) -> Mapping[str, Json]:
    with open_log(client.settings) as wire:
        return projections(wire, "judges")["judges"]


def _with_people(
    found: Evaluated, labels: Mapping[str, Labelled], known: Mapping[str, Json], objects: ObjectStore
) -> Evaluated:
    names = _judges_of(found.report, objects)
    heard = [_judge(name, known.get(name) or {}, objects) for name in names]
    judges = tuple(judge for judge, _, _ in heard if judge is not None)
    agreements = [each for task_set, given in labels.items() for each in _agreements(task_set, given)]
    agreements += [each for _, of, _ in heard for each in of]
    missing = [why for _, _, why in heard if why]
    if not names:
        missing.append("No task set of this evaluation asks judges, so there is no judge to show.")
    if not agreements:
        missing.append("No two people graded the same answer to its task sets, so nobody can say whether raters agree.")
    examples, lost = examples_of(found.report, found.decided.evaluation_uri, objects)
    return Evaluated(
        decided=found.decided,
        report=found.report,
        judges=judges,
        agreements=tuple(agreements),
        examples=examples,
        missing=(*missing, *lost),
    )


def _judges_of(report: SealedReport, objects: ObjectStore) -> list[str]:
    """Whom the task sets name, each once."""
    names: dict[str, None] = {}
    for each in report.task_sets:
        try:
            definition = json.loads((objects.fetch(key_of(each.content)) / DEFINITION).read_bytes())
            names |= dict.fromkeys(str(name) for name in definition.get("judges", []))
        except _LOST:
            continue  # its numbers are in the report, whatever became of the task set
    return list(names)


def _judge(name: str, facts: Json, objects: ObjectStore) -> tuple[PanelJudge | None, list[RaterAgreement], str]:
    """The judge, how the raters agree whose labels it was registered with, and what is missing."""
    if not facts:
        return None, [], f"Judge {name} is not registered, so it graded nothing."
    card, standing = JudgeCard.model_validate(facts["card"]), standing_word(facts)
    try:
        there = stored_judge(objects.fetch(judge_key(facts["content"])))
        told = tuple(reliabilities(name, there, said_by_judge(objects, facts["content"])))
    except _LOST:
        why = f"What judge {name} said at its registration is lost, so its grades cannot be drawn beside people's."
        return PanelJudge(name=name, card=card, standing=standing), [], why
    raters = [agreement(f"labels of judge {name}", *of) for of in of_registration(there.answers).items()]
    judge = PanelJudge(name=name, card=card, standing=standing, reliabilities=told)
    return judge, [each for each in raters if each is not None], ""


def _agreements(task_set: str, given: Labelled) -> Iterator[RaterAgreement]:
    for criterion, grades in by_criterion(given, int(task_set.partition("@")[2])).items():
        if (found := agreement(task_set, criterion, grades)) is not None:
            yield found
