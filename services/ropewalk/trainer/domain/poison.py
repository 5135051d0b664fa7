"""Which steps are suspected to end a worker's process every time. Pure: losses in, steps out.

Native code that breaks, or memory that runs out, says nothing of the sample that did it. But a batch that does so ends
every attempt in the same step, which accidents do not: two of them at one step with nobody beyond it are suspicious.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ropewalk.trainer.domain.recovery import AttemptCause, Loss

_CAUSES: frozenset[AttemptCause] = frozenset({"crashed", "out_of_memory", "worker_lost", "poison"})
_PHASES = ("data", "compile", "step")  # where a batch can do harm
_SUSPICIOUS, _HOPELESS = 2, 3  # deaths at one step


@dataclass(frozen=True)
class Suspect:
    """A step whose samples are to be tried one by one; or left out together (`whole`), as trying them did not help."""

    step: int
    whole: bool


def fatal_step(loss: Loss) -> int | None:
    """The step in which the workers that brought the loss about died; None if no batch can have done it."""
    found = loss.found
    if loss.cause not in _CAUSES or found.phase not in _PHASES:
        return None
    steps = {found.last_steps[rank] for rank in found.ranks if rank < len(found.last_steps)}
    return steps.pop() if len(steps) == 1 else None


def suspects(losses: Sequence[Loss]) -> tuple[Suspect, ...]:
    """In the order of steps. Once suspected a step remains so: attempts that begin before it meet it again."""
    deaths: Counter[int] = Counter()
    for loss in losses:
        furthest = max((loss.last_step + 1, *loss.found.last_steps))
        deaths = Counter({step: n for step, n in deaths.items() if step >= furthest or n >= _SUSPICIOUS})
        if (step := fatal_step(loss)) is not None:
            deaths[step] += 1
    return tuple(Suspect(step, n >= _HOPELESS) for step, n in sorted(deaths.items()) if n >= _SUSPICIOUS)


def named(before: Sequence[Loss], last: Loss) -> Loss:
    """The last loss, its cause `poison` if it is the one that makes its step suspicious."""
    step = fatal_step(last)
    known = {suspect.step for suspect in suspects(before)}
    if step is None or step in known or all(suspect.step != step for suspect in suspects([*before, last])):
        return last
    detail = f"a worker died twice in step {step}, which points to its batch: {last.detail}"
    return replace(last, cause="poison", detail=detail)
