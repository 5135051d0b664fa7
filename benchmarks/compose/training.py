"""A run while something happens to its stack: submitted through the SDK, judged by the log and by its ledger."""

import contextlib
import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.cli.connecting import call
from ropewalk.client import Client, ClientSettings
from ropewalk.errors import RopewalkError
from ropewalk.events.base import Message
from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed, RunRejected, StageCompleted
from ropewalk.events.serving import TrafficShifted
from ropewalk.events.training import StepsCommitted, TrainingInterrupted

_LOOK_S = 1.0
_ENDINGS = (RunCompleted, RunFailed, RunCancelled, RunRejected)
_MODEL_RUN, _MODEL = "compose-load", "compose-load"


@dataclass(frozen=True)
class User:
    """Who talks to the stack: what the SDK found, and what the command line is given."""

    settings: ClientSettings
    environment: Mapping[str, str]

    def ropewalk(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        program = Path(sysconfig.get_path("scripts")) / "ropewalk"
        environment = os.environ | dict(self.environment)
        return subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def submit(self, run_id: str, minutes: float, model: str) -> None:
        """A small training that does nothing else before."""
        recipe: dict[str, Any] = {
            "base": "python-stdlib-tiny",
            "trials": 0,
            "minutes": minutes,
            "promotion": {"model": model},
        }
        call(lambda client: client.submit(recipe, run_id), self.settings)

    def timeline(self, run_id: str) -> list[Message]:
        """The facts of a run so far."""

        async def read(client: Client) -> list[Message]:
            return [stored.message async for stored in client.bus.read(f"evt.*.*.*.{run_id}")]

        return call(read, self.settings)

    def until(self, run_id: str, *kinds: type[Message], deadline_s: float) -> list[Message]:
        """The facts once one of these types is among them. Raises TimeoutError."""
        deadline, timeline = time.monotonic() + deadline_s, list[Message]()
        while time.monotonic() < deadline:
            with contextlib.suppress(RopewalkError):  # whatever befalls the stack befalls whoever looks, too
                timeline = self.timeline(run_id)
            if any(isinstance(fact, kinds) for fact in timeline):
                return timeline
            time.sleep(_LOOK_S)
        raise TimeoutError(f"run {run_id} waits: {[type(fact).__name__ for fact in timeline]}")

    def served_model(self, deadline_s: float = 900.0) -> str:
        """A version that answers: of the run that every measurement shares, which is made by the first of them."""
        if not self.timeline(_MODEL_RUN):
            self.submit(_MODEL_RUN, 0.1, _MODEL)
        facts = self.until(_MODEL_RUN, *_ENDINGS, deadline_s=deadline_s)
        shift = next((fact for fact in facts if isinstance(fact, TrafficShifted)), None)
        if shift is None:
            raise RuntimeError(f"no model was promoted: {facts[-1]}")
        return f"{shift.model}@{shift.model_version}"

    def verdict(self, run_id: str, deadline_s: float) -> dict[str, Any]:
        """How the run ended, and whether its ledger proves that every committed step trained on what it should."""
        facts = self.until(run_id, *_ENDINGS, deadline_s=deadline_s)
        stages = [fact.stage for fact in facts if isinstance(fact, StageCompleted)]
        verified = self.ropewalk("ledger", "verify", run_id, "--json")
        return {
            "endings": [_ending(fact) for fact in facts if isinstance(fact, _ENDINGS)],
            "stages_twice": len(stages) - len(set(stages)),
            "interrupted": [fact.cause for fact in facts if isinstance(fact, TrainingInterrupted)],
            "last_committed_step": max(
                (fact.last_step for fact in facts if isinstance(fact, StepsCommitted)), default=0
            ),
            "ledger": "exact" if verified.returncode == 0 else (verified.stdout + verified.stderr)[-500:],
        }

    def problems(self) -> list[dict[str, Any]]:
        """What `ropewalk status` names now; a status that cannot be had names that."""
        done = self.ropewalk("status", "--json")
        try:
            found: list[dict[str, Any]] = json.loads(done.stdout)["problems"]
        except (ValueError, KeyError):
            return [{"kind": "no_status", "what": (done.stderr or done.stdout).strip()[-300:]}]
        return found


def is_whole(verdict: Mapping[str, Any]) -> bool:
    """Whether a run ended well, once, without a gap."""
    completed = len(verdict["endings"]) == 1 and verdict["endings"][0].startswith("RunCompleted")
    return completed and not verdict["stages_twice"] and verdict["ledger"] == "exact"


def _ending(fact: Message) -> str:
    told = getattr(fact, "outcome", "") or getattr(fact, "message", "")
    return f"{type(fact).__name__}: {told}"
