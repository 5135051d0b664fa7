"""A stack of an earlier commit, taken down and brought up with this one's images, its data kept. Prints JSON.

    python benchmarks/compose/upgrade.py [--before 98d5933] [--ports-from 19100] [--built]

The earlier commit is checked out beside this one and its images are built with its own tests/compose/images.sh; --built
takes the images ropewalk/core|ml:upgrade-before and :upgrade-after that an earlier call has made. A run is made and
people ask under the old release; `compose down`, `compose up`; then the run must be listed, its model say the same,
every request be in the table once, and a second run end well. Takes the stack and its data away afterwards.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from compose.load import Load
from compose.rolling_restart import stack_of
from compose.training import User, is_whole
from machine import describe

_ROOT = Path(__file__).parents[2]
_FIRST_THAT_RAN = "98d5933"
_BEFORE, _AFTER = "upgrade-before", "upgrade-after"
_PROJECT = "ropewalk-upgrade"
_SECOND_RUN = "after-upgrade"
_RATE, _ASKED_S = 10.0, 10.0
_ENDS_WITHIN_S = 900.0
_COMMAND_S = 1200.0


def main() -> None:
    """Build both, run the old, replace it, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=_FIRST_THAT_RAN, help="commit of the earlier release")
    parser.add_argument("--ports-from", type=int, default=19100, help="first of the ports to publish")
    parser.add_argument("--built", action="store_true", help="the images are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upgrade-") as folder:
        old = Path(folder) / "before"
        env_file = old / "stack" / ".env"  # all that the container sees in which the earlier release makes secrets
        _run(_ROOT, {}, "git", "worktree", "add", "--detach", str(old), options.before)
        try:
            result = _upgrade(old, env_file, options)
        finally:
            _compose(_ROOT, _AFTER, env_file, "clean")
            _run(_ROOT, {}, "git", "worktree", "remove", "--force", str(old))
    print(json.dumps({"machine": describe(), **result}, indent=1))
    sys.exit(not result["passed"])


def _upgrade(old: Path, env_file: Path, options: argparse.Namespace) -> dict[str, Any]:
    for place, tag in ((old, _BEFORE), (_ROOT, _AFTER)):
        if not options.built:
            _run(place, {"ROPEWALK_VERSION": tag}, "tests/compose/images.sh", "--force", "core", "ml")
        (place / "data").mkdir(exist_ok=True)  # else docker makes it, as root
    keys = ("keys", "create", str(env_file.parent / "keys"), "--project", _PROJECT)
    _run(_ROOT, {}, str(Path(sys.executable).with_name("ropewalk")), *keys, "--ports-from", str(options.ports_from))
    _compose(old, _BEFORE, env_file, "secrets")  # what its clients are told: it does not know users that came later
    began = time.monotonic()
    _compose(old, _BEFORE, env_file, "up")
    _, user = stack_of(env_file)
    before = asyncio.run(_use(user))
    _say(f"the old release: {before}")
    _compose(old, _BEFORE, env_file, "down")
    down = time.monotonic()
    _compose(_ROOT, _AFTER, env_file, "up")
    without_s = time.monotonic() - down
    _, user = stack_of(env_file)
    after = asyncio.run(_use(user))
    kept = _kept(user, before, after)
    _say(f"the new release: {kept}")
    user.submit(_SECOND_RUN, 0.1, _SECOND_RUN)
    second = user.verdict(_SECOND_RUN, _ENDS_WITHIN_S)
    answers = not any(each["requests"]["failed"] for each in (before, after))
    return {
        "before": {"commit": options.before, **before},
        "after": {"commit": _commit(), **after},
        "kept": kept,
        "second_run": second,
        "doctor": user.ropewalk("doctor").stdout.splitlines()[-12:],
        "up_took_s": round(without_s, 1),
        "all_took_s": round(time.monotonic() - began, 1),
        "passed": answers and all(kept.values()) and is_whole(second),
    }


async def _use(user: User) -> dict[str, Any]:
    """Have a model made unless it is there, and ask it."""
    model = await asyncio.to_thread(user.served_model)
    async with Load(user.settings, model, _RATE) as load:
        await asyncio.sleep(_ASKED_S)
        answers = load.known
    return {
        "model": model,
        "runs": _told(user, "runs", "--json"),
        "requests": await load.verdict(),
        "answers": answers,
        "ids": sorted(load.told.ids),
    }


def _kept(user: User, before: dict[str, Any], after: dict[str, Any]) -> dict[str, bool]:
    """What must be as it was; takes the long lists out of both."""
    asked = before.pop("ids")
    after.pop("ids")
    runs = [{run["run_id"] for run in each.pop("runs")["runs"]} for each in (before, after)]
    answers = [each.pop("answers") for each in (before, after)]
    rows = Load(user.settings, before["model"], _RATE).rows_of(asked)
    return {
        "runs_listed": bool(runs[0]) and runs[0] <= runs[1],
        "same_model": before["model"] == after["model"],
        "same_answers": answers[0] == answers[1],
        "rows_there_once": len(rows) == len(asked) and set(rows.values()) == {1},
        "rows_complete": not any(each["requests"]["rows_missing"] for each in (before, after)),
    }


def _told(user: User, *arguments: str) -> Any:
    done = user.ropewalk(*arguments)
    if done.returncode:
        raise RuntimeError(f"ropewalk {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def _compose(place: Path, tag: str, env_file: Path, *what: str) -> None:
    _run(place, {"ROPEWALK_VERSION": tag, "ROPEWALK_ENV": str(env_file)}, ".ci/compose", *what)


def _run(place: Path, told: Mapping[str, str], *command: str) -> None:
    """What it says goes to standard error. Raises CalledProcessError."""
    _say(" ".join(command))
    subprocess.run(command, cwd=place, env=os.environ | dict(told), stdout=sys.stderr, check=True, timeout=_COMMAND_S)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
