"""Sheets that a deferred run waits for, in a store and on a log, and the page that asks for them."""

import asyncio
import contextlib
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ropewalk.bus.bus import Bus
from ropewalk.evaluator.adapters.labelling.kept import SHEETS
from ropewalk.evaluator.adapters.labelling.review_desk import ReviewDesk
from ropewalk.evaluator.adapters.labelling.review_page import serve_review
from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet, dumped, in_order
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.label import LabelGiven, LabelsWanted, LabelWithdrawn, RaterInvited
from ropewalk.events.task_set import TaskSetFrozen
from ropewalk.projections.raters import key_of_secret
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.judges.rubric import RUBRIC, RUBRICS, RubricFile
from ropewalk.tasksets.shelf import DEFINITION, key_of
from ropewalk.tasksets.yaml_file import read_yaml

TASK_SET = "explaining"


def a_sheet(number: int, *, pair: bool = False, chance: float = 0.5) -> Sheet:
    answers = (f"It adds {number} to its argument.", f"It multiplies its argument by {number}, and returns that.")
    return Sheet(
        item_id=f"item-{number}",
        cluster=f"cluster-{number}",
        criterion="correctness",
        scale=PAIR if pair else "0-3",
        question=f"What does `def step(value): return value + {number}` do?",
        answers=in_order(answers) if pair else answers[:1],
        chance=chance,
    )


async def freeze(bus: Bus, objects: ObjectStore, scratch: Path, version: int) -> None:
    """The task set, judged by the rubric that ships; another version says another number of what is looked at."""
    rubric = read_yaml(RUBRICS / "default.yaml", RubricFile, "rubric")
    if version > 1:
        correctness = rubric.criteria["correctness"].model_copy(update={"definition": f"By version {version}."})
        rubric = rubric.model_copy(update={"criteria": {"correctness": correctness}})
    folder = scratch / f"task-set-{version}"
    folder.mkdir(parents=True)
    (folder / DEFINITION).write_text(json.dumps({"criteria": ["correctness"]}))
    (folder / RUBRIC).write_text(rubric.model_dump_json())
    content = f"{version}" * 64
    objects.publish(folder, key_of(content), {})
    await bus.publish(TaskSetFrozen(task_set_id=TASK_SET, version=version, content=content))


async def want(
    bus: Bus, objects: ObjectStore, scratch: Path, sheets: Sequence[Sheet], raters_each: int, version: int = 1
) -> None:
    """A run whose decision waits until each sheet has so many labels."""
    run_id = f"r{version}"
    await freeze(bus, objects, scratch, version)
    folder = scratch / f"sheets-{run_id}"
    folder.mkdir(parents=True)
    (folder / SHEETS).write_bytes(dumped(sheets))
    objects.publish(folder, f"sheets/{run_id}", {})
    await bus.publish(
        LabelsWanted(
            run_id=run_id,
            task_set_id=TASK_SET,
            version=version,
            checkpoint_id="c",
            look=1,
            sheets=f"sheets/{run_id}",
            num_sheets=len(sheets),
            raters_each=raters_each,
        )
    )
    gain = Estimate(metric="m", value=0.1, lower=-0.1, upper=0.2, level=0.95, num_items=25, method="m")
    await bus.publish(
        GateDecided(
            run_id=run_id,
            checkpoint_id="c",
            export_uri="exports/c",
            evaluation_uri="v",
            decision="need_more",
            reasons=("labels are wanted",),
            baseline="b",
            comparison=gain,
            verdict="deferred",
            decide_by_unix=time.time() + 3600,
        )
    )


async def a_link(bus: Bus, rater: str, seconds: float = 3600) -> str:
    """The path of a rater's link."""
    secret = secrets.token_urlsafe(32)
    until = time.time() + seconds
    await bus.publish(
        RaterInvited(task_set_id=TASK_SET, rater=rater, key_sha256=key_of_secret(secret), until_unix=until)
    )
    return f"/r/{TASK_SET}/{secret}"


async def labels_in(bus: Bus) -> list[LabelGiven | LabelWithdrawn]:
    """All that is in the log of them."""
    found = [item.message async for item in bus.read(f"log.label.*.*.{TASK_SET}", stream="SCORES")]
    return [each for each in found if isinstance(each, LabelGiven | LabelWithdrawn)]


@contextlib.asynccontextmanager
async def reviewing(bus: Bus, objects: ObjectStore) -> AsyncIterator[str]:
    """The page on a free port of loopback; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = asyncio.create_task(serve_review(ReviewDesk(bus, objects), "127.0.0.1", port))
    await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
