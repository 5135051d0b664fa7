"""Follows the run to its end, and kills a worker on the way where the demo shows that."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ropewalk.demo.kill import KillPlan, observe
from ropewalk.demo.progress import DemoProgress
from ropewalk.drills.acting import KILL_WORKER, begin, new_drill
from ropewalk.drills.stackview import send
from ropewalk.events.base import Message
from ropewalk.events.run import RunCancelled, RunFailed, RunRejected
from ropewalk.local.supervision.processes import stack_processes

_OVERHEAD_S = 1200.0  # everything but training, on a slow machine
_PATIENCE = 4  # times the training time that was asked for


async def follow_run(run: DemoProgress, minutes: float, act: Callable[[Message], Awaitable[None]] | None = None) -> str:
    """Show every event, and `act` on it, until the run is over. Returns why it failed, empty if it did not.

    `minutes` is the training time that was asked for; much later than that the run has failed too.
    """
    limit_s = _OVERHEAD_S + _PATIENCE * 60 * minutes
    try:
        async with asyncio.timeout(limit_s):
            return await _until_over(run, act)
    except TimeoutError:
        return f"the run was not over after {limit_s / 60:.0f} min; `ropewalk show {run.run_id}` has its timeline"


async def _until_over(run: DemoProgress, act: Callable[[Message], Awaitable[None]] | None) -> str:
    async for stored in run.client.follow(run.run_id):
        run.saw(stored)
        if act is not None:
            await act(stored.message)
        match stored.message:
            case RunRejected(violations=violations):
                return "the recipe was refused: " + "; ".join(violations)
            case RunFailed(stage=stage, message=text):
                return f"stage {stage} failed: {text}"
            case RunCancelled(reason=reason):
                return f"the run was cancelled{f': {reason}' if reason else ''}"
    return ""


@dataclass
class WorkerKill:
    """Kills one training worker of the stack in `state_dir`, when `KillPlan` says so."""

    run: DemoProgress
    state_dir: Path
    plan: KillPlan = field(default_factory=KillPlan)
    killed: set[int] = field(default_factory=set)

    async def __call__(self, message: Message) -> None:
        """Look at the next event of the run."""
        self.plan = observe(self.plan, message)
        victim = self.plan.victim  # the same one again until the log says that training was interrupted
        if victim is not None and victim not in self.killed:
            self.killed.add(victim)
            if await self._kill(victim):
                self.run.screen.say(
                    f"killed training worker {victim} with SIGKILL at {self.plan.share:.0%} of the steps"
                )

    async def _kill(self, pid: int) -> bool:
        """Kill it if it is a process of this stack: an old event may name a number that somebody else has now.

        It is a drill like any other: its mark is in the log before the fault, and `flow` writes its scorecard.
        """
        if pid not in {process.pid for process in stack_processes(self.state_dir)} or not psutil.pid_exists(pid):
            return False
        run_id = self.run.run_id
        await begin(self.run.client.bus, new_drill(KILL_WORKER, run_id, f"training worker {pid} of run {run_id}"))
        return send(pid, signal.SIGKILL)
