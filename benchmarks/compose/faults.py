"""What a compose stack makes of faults while people ask and a run trains: one after the other. Prints JSON.

    python benchmarks/compose/faults.py [--env .env] [--rate 50] [--away 60] [--only kill-nats,away-nats] [--together]

kill-SERVICE is `kill -9` of its container, kill-each of all of them, 5 s after each other; away-SERVICE stops it for
--away seconds, full-VOLUME fills what the volume of a service has left (it must be a small one of its own: see
docs/profiles.md), worker-lost kills a Ray node for good for as long. For each is told how soon `ropewalk status` named
it, how soon all was well again, how many requests failed meanwhile, and how its run ended. Each has a run of its own,
or all have one with --together, whose --minutes must be enough. Needs docker and a running stack.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from compose.containers import Project, docker, variables
from compose.load import Load
from compose.rolling_restart import parser_of, restartable, stack_of
from compose.training import User, is_whole
from machine import describe

from ropewalk.events.training import StepsCommitted

_AWAY = ("nats", "clickhouse", "objects")
_NAMED_WITHIN_S = 60.0
_NAMED_AT_ONCE_S = 15.0  # a container that was killed is back by then
_LOOK_S = 1.0
_BETWEEN_S = 5.0  # kills of one service and the next
_ENDS_WITHIN_S = 1500.0
_WELL_WITHIN_S = 240.0


def main() -> None:
    """One run and one load for each fault."""
    parser = parser_of(__doc__, minutes=0.7)
    parser.add_argument("--away", type=float, default=60.0, help="seconds without a service")
    parser.add_argument("--only", default="", help="with commas; default: all")
    parser.add_argument("--together", action="store_true", help="one run for all faults, one after the other")
    options = parser.parse_args()
    project, user = stack_of(options.env)
    told = variables(options.env)
    all_faults = ["kill-each", *(f"away-{name}" for name in _AWAY), "worker-lost"]
    if "SMALL_VOLUME" in told:
        all_faults.append(f"full-{told['SMALL_VOLUME']}")
    names = options.only.split(",") if options.only else all_faults
    results = [asyncio.run(_measure(project, user, options, group)) for group in _groups(names, options.together)]
    passed = all(result["passed"] for result in results)
    print(json.dumps({"machine": describe(), "rate": options.rate, "runs": results, "passed": passed}, indent=1))
    sys.exit(not passed)


def _groups(names: list[str], together: bool) -> list[list[str]]:
    return [names] if together else [[name] for name in names]


async def _measure(project: Project, user: User, options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """One run and what befalls it, one after the other."""
    model = await asyncio.to_thread(user.served_model)
    run_id = f"faults-{int(time.time())}"
    async with Load(user.settings, model, options.rate) as load:
        await asyncio.to_thread(user.submit, run_id, options.minutes, run_id)
        await asyncio.to_thread(user.until, run_id, StepsCommitted, deadline_s=600)
        faults = {name: await _befall(project, user, load, options, name) for name in names}
        trained = await asyncio.to_thread(user.verdict, run_id, _ENDS_WITHIN_S)
    asked = await load.verdict()
    lost = asked["wrong_answers"] + asked["rows_missing"] + asked["rows_twice"]
    result = {"faults": faults, "requests": asked, "run": trained, "passed": not lost and is_whole(trained)}
    print(json.dumps(result), file=sys.stderr)
    return result


async def _befall(project: Project, user: User, load: Load, options: argparse.Namespace, name: str) -> dict[str, Any]:
    usual = {each["kind"] for each in await asyncio.to_thread(user.problems)}
    failed = sum(load.told.failures.values())
    fault = asyncio.create_task(asyncio.to_thread(_strike, project, name, options.away))
    within_s = _NAMED_AT_ONCE_S if name.startswith("kill-") else max(options.away, _NAMED_WITHIN_S)
    named = await asyncio.to_thread(_named, user, usual, within_s)
    await fault
    began = time.monotonic()
    await asyncio.to_thread(project.ready, "", _WELL_WITHIN_S)
    well_s = round(time.monotonic() - began, 1)
    failures = sum(load.told.failures.values()) - failed
    result = {"named": named, "healthy_again_s": well_s, "failed_during": failures}
    print(f"{name}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return result


def _strike(project: Project, name: str, away_s: float) -> None:
    """Let it happen; returns when its cause is over."""
    kind, _, target = name.partition("-")
    if name == "kill-each":
        for service in (*restartable(project), "triton"):
            project.kill(service)
            time.sleep(_BETWEEN_S)
    elif kind == "kill":
        project.kill(target)
    elif kind == "away":
        project.stop(target, grace_s=10)
        time.sleep(away_s)
        project.start(target)
    elif kind == "worker":
        project.kill("ray-worker")
        project.stop("ray-worker", grace_s=0)
        time.sleep(away_s)
        project.start("ray-worker")
    else:
        _fill(project, target, away_s)


def _fill(project: Project, service: str, away_s: float) -> None:
    """Write until nothing more goes onto the volume of a service, as its user; remove that later."""
    (container,) = project.containers(service)
    place = json.loads(docker("inspect", container))[0]["Mounts"][0]["Destination"]
    docker("exec", container, "sh", "-c", f"cat /dev/zero > {place}/filler; true")
    time.sleep(away_s)
    docker("exec", container, "rm", f"{place}/filler")


def _named(user: User, usual: set[str], within_s: float) -> dict[str, Any]:
    """The first problem that was not there before, and after how many seconds."""
    began = time.monotonic()
    while time.monotonic() < began + within_s:
        for problem in user.problems():
            if problem["kind"] not in usual:
                after_s = round(time.monotonic() - began, 1)
                return {"after_s": after_s, "kind": problem["kind"], "what": str(problem["what"])[:300]}
        time.sleep(_LOOK_S)
    return {"after_s": None, "kind": "", "what": "it was over before anybody asked, or nothing named it"}


if __name__ == "__main__":
    main()
