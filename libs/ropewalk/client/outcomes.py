"""A forecast beside what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ropewalk.events.base import Message, last_of
from ropewalk.events.run import RunAccepted
from ropewalk.events.training import TrainingCompleted, TrainingQuoted
from ropewalk.recipes.quotation import START_S


def forecast_errors(messages: Sequence[Message]) -> str:
    """How far time and loss of a run's training were from what was said before, in one line for people.

    Empty if it was not quoted or has not ended. Of a training that stopped early the time is compared with that of
    the steps that it took, and the loss with nothing: the law knows only trainings that took all. The price
    is left out: quoted are the cores that a training keeps for its time, and billed is what it computes on them.
    """
    quoted, completed = last_of(messages, TrainingQuoted), last_of(messages, TrainingCompleted)
    if quoted is None or completed is None:
        return ""
    accepted = last_of(messages, RunAccepted)
    recipe: Mapping[str, Any] = accepted.recipe if accepted else {}
    taken, total = completed.num_steps or completed.step, int((recipe.get("plan") or {}).get("total_steps") or 0)
    is_early = 0 < taken < total
    seconds = completed.seconds
    if is_early:
        first = int(str(recipe.get("extends") or "").rpartition("-")[2] or 0)
        share = max(0, taken - first) / (total - first)
        seconds *= quoted.seconds / (START_S + max(0.0, quoted.seconds - START_S) * share)
    loss = "" if is_early else _part("loss", quoted.loss, quoted.loss_low, quoted.loss_high, completed.loss)
    if loss and recipe.get("profile") == "prose":
        loss += " (the law of the loss is of Python source: prose has another one)"
    parts = [
        _part("time", quoted.seconds, quoted.seconds_low, quoted.seconds_high, seconds),
        loss,
    ]
    early = f"it stopped early, after {taken:,} of {total:,} steps; for these " if is_early else ""
    return f"against the forecast: {early}" + ", ".join(part for part in parts if part)


def _part(name: str, expected: float, low: float, high: float, outcome: float) -> str:
    if not expected:
        return ""
    within = "" if low <= outcome <= high else " (outside its interval)"
    return f"{name} {100 * (outcome / expected - 1):+.0f} %{within}"
