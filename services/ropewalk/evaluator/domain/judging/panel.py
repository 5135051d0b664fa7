"""Who of the judges that a task set names may say something about its answers, and by which criteria."""

from collections.abc import Sequence
from datetime import datetime

from ropewalk.projections.judges import JudgeStanding


def why_left_out(standing: JudgeStanding | None, rubric_digest: str, now: datetime) -> str:
    """A part of a sentence; empty where nothing speaks against the judge."""
    if standing is None:
        return "it is not registered: `ropewalk eval judges add` registers one"
    if standing.is_suspended:
        return "it is suspended, until it is registered again with other labels"
    if datetime.fromisoformat(standing.card.valid_until) <= now:
        return f"its card expired at {standing.card.valid_until}: register it again with labels"
    if standing.card.rubric_digest != rubric_digest:
        return f"it grades by another rubric, {standing.card.rubric}: register one with that of the task set"
    return ""


def accepted(standing: JudgeStanding, criteria: Sequence[str]) -> tuple[str, ...]:
    """The criteria that its card does not reject it for."""
    sound = {each.criterion for each in standing.card.criteria if each.verdict != "reject"}
    return tuple(name for name in criteria if name in sound)
