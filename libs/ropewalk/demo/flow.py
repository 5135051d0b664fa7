"""The demo from the first process to the report card."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ropewalk.admin.access import MAINTAINER
from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.demo.choice import demo_fields, free_model_name, unfinished_run
from ropewalk.demo.drift import ordinary_traffic, shifted_traffic
from ropewalk.demo.progress import DemoProgress
from ropewalk.demo.prompts import longest_prompt
from ropewalk.demo.reporting import report_run
from ropewalk.demo.run_through import WorkerKill, follow_run
from ropewalk.demo.screen import Screen
from ropewalk.demo.verdict import failed_drill, problems
from ropewalk.drills.acting import score_kill_of_worker
from ropewalk.drills.files import DrillResult
from ropewalk.events.run import RunAccepted, RunCompleted
from ropewalk.local.layout import Layout
from ropewalk.local.stack import bring_up, is_up
from ropewalk.local.supervision.processes import cpu_seconds, stack_processes
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.recipe import Recipe, parse_recipe
from ropewalk.report.card import ReportCard
from ropewalk.report.files import WrittenCard


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the user asked for. `folder` is where the card is copied to."""

    recipe: str
    minutes: float | None
    folder: Path


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The card, where it lies, the scorecard of the killed worker, and what went wrong (nothing, if it is green)."""

    card: ReportCard
    written: WrittenCard
    drill: DrillResult | None
    problems: tuple[str, ...]


def run_demo(layout: Layout, options: DemoOptions, screen: Screen) -> DemoResult:
    """Start the stack if it is down, then everything else. The stack stays up.

    Raises RecipeError, StackStartError, ClientError.
    """
    fields = load_recipe(options.recipe)
    recipe = resolve_recipe(fields)  # one that cannot run should fail before anything starts
    began = time.monotonic()
    started_here = not is_up(layout)
    bring_up(layout, screen.stack)
    start_s = time.monotonic() - began if started_here else 0.0
    return asyncio.run(_Demo(layout, options, screen).run(fields, recipe, start_s))


class _Demo:
    def __init__(self, layout: Layout, options: DemoOptions, screen: Screen) -> None:
        self._layout = layout
        self._options = options
        self._screen = screen

    async def run(self, fields: dict[str, JsonValue], recipe: Recipe, start_s: float) -> DemoResult:
        async with await Client.connect(find_settings(self._layout.state_dir, MAINTAINER)) as client:
            run = await self._begin(client, fields, recipe, start_s)
            run.show("stack", status="done", seconds=start_s, share=1.0)
            failure = await follow_run(
                run, self._options.minutes or recipe.minutes, WorkerKill(run, self._layout.state_dir)
            )
            completed = await client.bus.last(RunCompleted, run.run_id)
            if completed is not None and completed.outcome == "promoted":
                await self._drift(run, completed.model)
            return await self._report(run, failure)

    async def _begin(
        self, client: Client, fields: dict[str, JsonValue], recipe: Recipe, start_s: float
    ) -> DemoProgress:
        """Submit a run, or take up the one that an interrupted demo left."""
        runs = await client.runs()
        if left := unfinished_run(runs, recipe.name):
            self._screen.say(f"continuing run {left.run_id}")
            return DemoProgress(client, left.run_id, self._screen, self._cpu_clock)
        chosen = demo_fields(fields, recipe, free_model_name(runs, recipe.model), self._options.minutes)
        run = DemoProgress(client, client.new_run_id(chosen), self._screen, self._cpu_clock)
        await run.before_the_log("stack", start_s)
        await client.submit(chosen, run.run_id)
        self._screen.say(f"run {run.run_id}")
        return run

    async def _drift(self, run: DemoProgress, model: str) -> None:
        accepted = await run.client.bus.last(RunAccepted, run.run_id)
        assert accepted is not None, "a promoted run was accepted"
        most_bytes = longest_prompt(parse_recipe(accepted.recipe).derived.context_length)
        await ordinary_traffic(run, model, most_bytes)
        await shifted_traffic(run, model, most_bytes)

    async def _report(self, run: DemoProgress, failure: str) -> DemoResult:
        drill = await score_kill_of_worker(run.client, self._layout, run.run_id)
        card, written = await report_run(run, self._layout, self._options.folder)
        found = (*problems(card, failure), *failed_drill(drill.card if drill else None))
        return DemoResult(card=card, written=written, drill=drill, problems=found)

    def _cpu_clock(self) -> float:
        """CPU seconds that the living processes of the stack used so far."""
        return cpu_seconds(stack_processes(self._layout.state_dir))
