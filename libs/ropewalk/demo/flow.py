"""The demo from the first process to the report card."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from ropewalk.admin.access import MAINTAINER
from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.demo.choice import demo_fields, free_model_name, unfinished_run
from ropewalk.demo.drift import Audience, Traffic, ordinary_traffic, shifted_traffic
from ropewalk.demo.run_through import follow_run
from ropewalk.demo.screen import Screen
from ropewalk.demo.stages import DemoStages
from ropewalk.demo.verdict import failed_drill, problems
from ropewalk.drills.acting import DrillResult, score_kill_of_worker
from ropewalk.events.run import RunAccepted, RunCompleted
from ropewalk.local.layout import Layout
from ropewalk.local.stack import bring_up, is_up
from ropewalk.local.supervision.processes import cpu_seconds, stack_processes
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.recipe import parse_recipe
from ropewalk.report.board import Board
from ropewalk.report.card import ReportCard
from ropewalk.report.collect import collect
from ropewalk.report.files import WrittenCard, write_card
from ropewalk.report.gather import gather, wait_for_costs
from ropewalk.storage.connect import connect_objects

_COST_TIMEOUT_S = 15.0
_OVERHEAD_S = 1200.0  # everything but training, on a slow machine
_PATIENCE = 4  # times the training time that was asked for


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the user asked for. `folder` is where the card is copied to."""

    recipe: str
    minutes: float | None
    folder: Path
    seed: int = 17


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The card, where it lies, the scorecard of the killed worker, and what went wrong (nothing, if it is green)."""

    run_id: str
    card: ReportCard
    written: WrittenCard
    drill: DrillResult | None
    problems: tuple[str, ...]


def run_demo(layout: Layout, options: DemoOptions, screen: Screen) -> DemoResult:
    """Start the stack if it is down, then everything else. The stack stays up.

    Raises RecipeError, StackStartError, ClientError.
    """
    fields = load_recipe(options.recipe)
    resolve_recipe(fields)  # a recipe that cannot run should fail before anything starts
    began = time.monotonic()
    started_here = not is_up(layout)
    bring_up(layout, screen.stack)
    start_s = time.monotonic() - began if started_here else 0.0
    return asyncio.run(_Demo(layout, options, screen).run(start_s))


class _Demo:
    def __init__(self, layout: Layout, options: DemoOptions, screen: Screen) -> None:
        self._layout = layout
        self._options = options
        self._screen = screen

    async def run(self, start_s: float) -> DemoResult:
        async with await Client.connect(find_settings(self._layout.state_dir, MAINTAINER)) as client:
            run_id = await self._begin(client, start_s)
            board = Board().update("stack", status="done", seconds=start_s, share=1.0)
            board, failure = await self._follow(client, run_id, board)
            stages = DemoStages(client, run_id, self._cpu_clock)
            completed = await client.bus.last(RunCompleted, run_id)
            if completed is not None and completed.outcome == "promoted":
                board = await self._drift(client, run_id, completed.model, board, stages)
            return await self._report(client, run_id, stages, board, failure)

    async def _follow(self, client: Client, run_id: str, board: Board) -> tuple[Board, str]:
        minutes = self._options.minutes or resolve_recipe(load_recipe(self._options.recipe)).minutes
        limit_s = _OVERHEAD_S + _PATIENCE * 60 * minutes
        try:
            async with asyncio.timeout(limit_s):
                return await follow_run(client, run_id, self._layout.state_dir, board, self._screen)
        except TimeoutError:
            return (
                board,
                f"the run was not over after {limit_s / 60:.0f} min; `ropewalk show {run_id}` has its timeline",
            )

    async def _begin(self, client: Client, start_s: float) -> str:
        """Submit a run, or take up the one that an interrupted demo left."""
        fields = load_recipe(self._options.recipe)
        complete = resolve_recipe(fields)
        runs = await client.runs()
        if left := unfinished_run(runs, complete.name):
            self._screen.say(f"continuing run {left.run_id}")
            return left.run_id
        chosen = demo_fields(fields, complete, free_model_name(runs, complete.model), self._options.minutes)
        run_id = client.new_run_id(chosen)
        await DemoStages(client, run_id, self._cpu_clock).before_the_log("stack", start_s)
        await client.submit(chosen, run_id)
        self._screen.say(f"run {run_id}")
        return run_id

    async def _drift(self, client: Client, run_id: str, model: str, board: Board, stages: DemoStages) -> Board:
        accepted = await client.bus.last(RunAccepted, run_id)
        assert accepted is not None, "a promoted run was accepted"
        context_length = parse_recipe(accepted.recipe).derived.context_length
        traffic = Traffic(model=model, context_length=context_length, seed=self._options.seed)
        audience = Audience(client=client, run_id=run_id, board=board, screen=self._screen)
        await ordinary_traffic(audience, stages, traffic)
        await shifted_traffic(audience, stages, traffic)
        return audience.board

    async def _report(self, client: Client, run_id: str, stages: DemoStages, board: Board, failure: str) -> DemoResult:
        """Draw the card twice: the second one has the report's own time and cost."""
        self._screen.board(board.update("report", status="running"))
        async with stages.stage("report"):
            drill = await score_kill_of_worker(client, self._layout, run_id)
            await self._write(client, run_id)
        await wait_for_costs(client, run_id, _COST_TIMEOUT_S)
        card, written = await self._write(client, run_id)
        self._screen.board(board.update("report", status="done", share=1.0))
        found = (*problems(card, failure), *failed_drill(drill.card if drill else None))
        return DemoResult(run_id=run_id, card=card, written=written, drill=drill, problems=found)

    async def _write(self, client: Client, run_id: str) -> tuple[ReportCard, WrittenCard]:
        evidence = await gather(client, run_id, connect_objects(client.settings.objects_url))
        card = collect(evidence)
        archive = self._layout.reports / run_id
        return card, await asyncio.to_thread(write_card, card, archive, self._options.folder)

    def _cpu_clock(self) -> float:
        """CPU seconds that the living processes of the stack used so far."""
        return cpu_seconds(stack_processes(self._layout.state_dir))
