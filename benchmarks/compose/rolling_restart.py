"""Restart every container of a compose stack, one after the other, while people ask and a run trains. Prints JSON.

    python benchmarks/compose/rolling_restart.py [--env .env] [--rate 50] [--minutes 4] [--services trainer,nats]

Needs docker, a running stack and a fresh one: its first run makes the model that is asked. A serving is
taken out together with its Triton, so that the one before which the balancer still stands answers. The balancer itself
reloads, for one published port cannot be handed from one container to the next. Exits with 1 if anything was lost.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from compose.containers import Project, docker, variables
from compose.load import Load
from compose.training import User, is_whole
from machine import describe

from ropewalk.client import find_settings
from ropewalk.events.training import StepsCommitted

_PAIRS = {"serving": "triton", "serving-2": "triton-2"}
_ROOT = Path(__file__).parents[2]  # where compose.yaml is, from which compose counts paths
_BALANCER = "gateway"
_SETTLE_S = 2.0
_TRAINS_WITHIN_S = 600.0
_ENDS_WITHIN_S = 1500.0


def main() -> None:
    """Prepare, load, restart, judge."""
    parser = parser_of(__doc__, minutes=4.0)
    parser.add_argument("--services", default="", help="with commas; default: all")
    options = parser.parse_args()
    project, user = stack_of(options.env)
    names = options.services.split(",") if options.services else restartable(project)
    result = asyncio.run(_measure(project, user, options, names))
    print(json.dumps({"machine": describe(), **result}, indent=1))
    sys.exit(not result["passed"])


def parser_of(description: str, *, minutes: float) -> argparse.ArgumentParser:
    """The options of whatever is done to a stack under load."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--env", type=Path, default=Path(".env"), help="what compose reads")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--minutes", type=float, default=minutes, help="of each training")
    return parser


def stack_of(env_file: Path) -> tuple[Project, User]:
    """The running stack of an environment file and its user; sets what this process needs to be that user."""
    told = variables(env_file)
    client = variables(_ROOT / told["ROPEWALK_KEYS"] / "client.env")
    nowhere = tempfile.mkdtemp(prefix="no-embedded-stack-")
    os.environ.update(client | {"ROPEWALK_STATE_DIR": nowhere})
    return Project(told["COMPOSE_PROJECT_NAME"]), User(find_settings(Path(nowhere)), client)


def restartable(project: Project) -> list[str]:
    """Every service that stays; a Triton goes with its serving."""
    return [name for name in project.services() if name not in _PAIRS.values()]


async def _measure(project: Project, user: User, options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    model = await asyncio.to_thread(user.served_model)
    run_id = f"rolling-{int(time.time())}"
    seconds: dict[str, float] = {}
    async with Load(user.settings, model, options.rate) as load:
        await asyncio.to_thread(user.submit, run_id, options.minutes, run_id)
        await asyncio.to_thread(user.until, run_id, StepsCommitted, deadline_s=_TRAINS_WITHIN_S)
        for name in names:
            failed = sum(load.told.failures.values())
            seconds[name] = round(await asyncio.to_thread(restart, project, name), 1)
            await asyncio.sleep(_SETTLE_S)
            new = sum(load.told.failures.values()) - failed
            print(f"{name}: {seconds[name]} s, {new} requests failed", file=sys.stderr)
        trained = await asyncio.to_thread(user.verdict, run_id, _ENDS_WITHIN_S)
    asked = await load.verdict()
    lost = asked["failed"] + asked["wrong_answers"] + asked["rows_missing"] + asked["rows_twice"]
    return {"rate": options.rate, "restart_s": seconds, "requests": asked, "run": trained} | {
        "passed": not lost and is_whole(trained)
    }


def restart(project: Project, name: str) -> float:
    """Returns the seconds until it is healthy again."""
    began = time.monotonic()
    if name == _BALANCER:
        docker("kill", "--signal=HUP", *project.containers(name))
    elif triton := _PAIRS.get(name):
        project.stop(name)
        project.restart(triton)
        project.ready(triton)
        project.start(name)
    else:
        project.restart(name)
    project.ready(name)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
