"""Follows the run to its end and kills a worker on the way."""

import signal
from pathlib import Path

import psutil

from ropewalk.demo.kill import KillPlan, observe
from ropewalk.demo.progress import DemoProgress
from ropewalk.drills.acting import KILL_WORKER, begin, new_drill
from ropewalk.drills.stackview import send
from ropewalk.events.run import RunCancelled, RunFailed, RunRejected
from ropewalk.local.supervision.processes import stack_processes


async def follow_run(run: DemoProgress, state_dir: Path) -> str:
    """Show every event until the run is over. Returns why it failed, empty if it did not."""
    plan = KillPlan()
    killed: set[int] = set()
    async for stored in run.client.follow(run.run_id):
        run.saw(stored)
        plan = observe(plan, stored.message)
        victim = plan.victim  # the same one again until the log says that training was interrupted
        if victim is not None and victim not in killed:
            killed.add(victim)
            if await _kill_worker(run, victim, state_dir):
                run.screen.say(f"killed training worker {victim} with SIGKILL at {plan.share:.0%} of the steps")
        match stored.message:
            case RunRejected(violations=violations):
                return "the recipe was refused: " + "; ".join(violations)
            case RunFailed(stage=stage, message=text):
                return f"stage {stage} failed: {text}"
            case RunCancelled(reason=reason):
                return f"the run was cancelled{f': {reason}' if reason else ''}"
    return ""


async def _kill_worker(run: DemoProgress, pid: int, state_dir: Path) -> bool:
    """Kill it if it is a process of this stack: an old event may name a number that somebody else has now.

    It is a drill like any other: its mark is in the log before the fault, and `flow` writes its scorecard.
    """
    if pid not in {process.pid for process in stack_processes(state_dir)} or not psutil.pid_exists(pid):
        return False
    await begin(run.client.bus, new_drill(KILL_WORKER, run.run_id, f"training worker {pid} of run {run.run_id}"))
    return send(pid, signal.SIGKILL)
