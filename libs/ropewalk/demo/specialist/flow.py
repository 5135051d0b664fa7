"""From the packaged foundation model to a specialist that answers, and its report card."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from ropewalk.admin.access import MAINTAINER
from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.demo.choice import demo_fields, free_model_name, unfinished_run
from ropewalk.demo.progress import DemoProgress
from ropewalk.demo.reporting import report_run
from ropewalk.demo.run_through import follow_run
from ropewalk.demo.screen import Screen
from ropewalk.demo.specialist.asking import Reply, ask
from ropewalk.demo.specialist.base import imported_base, packaged_gguf
from ropewalk.demo.specialist.task import NAME, answer_schema, recipe_fields, write_folder
from ropewalk.demo.specialist.verdict import STAGES, specialist_problems
from ropewalk.events.run import RunCompleted
from ropewalk.local.layout import Layout
from ropewalk.local.stack import bring_up, is_up
from ropewalk.local.supervision.processes import cpu_seconds, stack_processes
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.report.board import Board, StageRow
from ropewalk.report.card import ReportCard
from ropewalk.report.files import WrittenCard


@dataclass(frozen=True, kw_only=True)
class SpecialistResult:
    """The card, where it and the task folder lie, what the endpoint answered, and what went wrong."""

    card: ReportCard
    written: WrittenCard
    task: Path
    replies: tuple[Reply, ...]
    problems: tuple[str, ...]


def run_specialist(layout: Layout, folder: Path, screen: Screen) -> SpecialistResult:
    """Start the stack if it is down, then everything else; the card is copied to `folder`. The stack stays up.

    Raises RecipeError, StackStartError, ClientError.
    """
    packaged_gguf()  # what is not installed should fail before anything starts
    began, started_here = time.monotonic(), not is_up(layout)
    bring_up(layout, screen.stack)
    start_s = time.monotonic() - began if started_here else 0.0
    return asyncio.run(_Specialist(layout, folder, screen).run(start_s))


class _Specialist:
    def __init__(self, layout: Layout, folder: Path, screen: Screen) -> None:
        self._layout, self._folder, self._screen = layout, folder, screen
        self._task = folder / "specialist"  # not in the state folder: no recipe may read there

    async def run(self, start_s: float) -> SpecialistResult:
        async with await Client.connect(find_settings(self._layout.state_dir, MAINTAINER)) as client:
            run, minutes = await self._begin(client, start_s)
            run.show("stack", status="done", seconds=start_s, share=1.0)
            failure = await follow_run(run, minutes)
            completed = await client.bus.last(RunCompleted, run.run_id)
            replies: list[Reply] = []
            if completed is not None and completed.outcome == "promoted":
                replies = await self._ask(run, completed.model)
            card, written = await report_run(run, self._layout, self._folder)
            problems = specialist_problems(card, failure, replies)
            return SpecialistResult(
                card=card, written=written, task=self._task, replies=tuple(replies), problems=problems
            )

    async def _begin(self, client: Client, start_s: float) -> tuple[DemoProgress, float]:
        """Submit a run, or take up the one that an interrupted demo left. Returns its training minutes too."""
        objects = client.settings.store.connect()
        base = await imported_base(objects, self._layout.state_dir, self._screen.say)
        self._screen.say(f"base model {base.name}, {base.num_parameters:,} parameters, licence {base.licence}")
        self._screen.say(f"{write_folder(self._task)} examples in {self._task}")
        fields = recipe_fields(self._task, base.name)
        recipe, runs = resolve_recipe(fields), await client.runs()
        left = unfinished_run(runs, NAME)
        chosen = demo_fields(fields, recipe, free_model_name(runs, recipe.model), None)
        run_id = left.run_id if left else client.new_run_id(chosen)
        run = DemoProgress(client, run_id, self._screen, self._cpu_clock, Board({name: StageRow() for name in STAGES}))
        if left is None:
            await run.before_the_log("stack", start_s)
            await client.submit(chosen, run_id)
        self._screen.say(f"{'continuing ' if left else ''}run {run_id}")
        return run, recipe.minutes

    async def _ask(self, run: DemoProgress, model: str) -> list[Reply]:
        async with run.stage("traffic"):
            run.show("traffic", status="running", note="functions that are in no library")
            replies = await ask(run.client.settings, model, answer_schema())
        run.show("traffic", status="done", share=1.0)
        for reply in replies:
            self._screen.say(reply.error or f"{reply.seconds:.1f} s, {reply.prompt_tokens} tokens: {reply.answer}")
        return replies

    def _cpu_clock(self) -> float:
        return cpu_seconds(stack_processes(self._layout.state_dir))
