"""Follows the run to its end and kills a worker on the way."""

import signal
from pathlib import Path

import psutil

from ropewalk.client.client import Client
from ropewalk.demo.kill import KillPlan, observe
from ropewalk.demo.screen import Screen
from ropewalk.drills.acting import KILL_WORKER, begin, new_drill
from ropewalk.drills.stackview import send
from ropewalk.events.run import RunCancelled, RunFailed, RunRejected
from ropewalk.local.supervision.processes import stack_processes
from ropewalk.report.board import Board, after


async def follow_run(client: Client, run_id: str, state_dir: Path, board: Board, screen: Screen) -> tuple[Board, str]:
    """Show every event until the run is over. Returns the board and why the run failed, empty if it did not."""
    plan = KillPlan()
    killed: set[int] = set()
    async for stored in client.follow(run_id):
        board = after(board, stored.message, stored.time.timestamp())
        screen.board(board)
        plan = observe(plan, stored.message)
        victim = plan.victim  # the same one again until the log says that training was interrupted
        if victim is not None and victim not in killed:
            killed.add(victim)
            if await _kill_worker(client, run_id, victim, state_dir):
                screen.say(f"killed training worker {victim} with SIGKILL at {plan.share:.0%} of the steps")
        match stored.message:
            case RunRejected(violations=violations):
                return board, "the recipe was refused: " + "; ".join(violations)
            case RunFailed(stage=stage, message=text):
                return board, f"stage {stage} failed: {text}"
            case RunCancelled(reason=reason):
                return board, f"the run was cancelled{f': {reason}' if reason else ''}"
    return board, ""


async def _kill_worker(client: Client, run_id: str, pid: int, state_dir: Path) -> bool:
    """Kill it if it is a process of this stack: an old event may name a number that somebody else has now.

    It is a drill like any other: its mark is in the log before the fault, and `flow` writes its scorecard.
    """
    if pid not in {process.pid for process in stack_processes(state_dir)} or not psutil.pid_exists(pid):
        return False
    await begin(client.bus, new_drill(KILL_WORKER, run_id, f"training worker {pid} of run {run_id}"))
    return send(pid, signal.SIGKILL)
