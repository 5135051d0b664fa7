"""Judges: their cards, what audits said since, and whether one has lost its right.

Only what belongs to the newest registration counts: an audit or a suspension of another identity does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.judge import JudgeAudited, JudgeCard, JudgeRegistered, JudgeSuspended
from ropewalk.projections.fold import Fold, Json, Record, collect, collected, log_time

_WORDS = {JudgeRegistered: "registered", JudgeAudited: "audited", JudgeSuspended: "suspended"}


def _keep(record: Record, stored: Stored[Message]) -> None:
    facts = stored.message.model_dump(mode="json", exclude={"run_id", "judge_id"})
    word = _WORDS[type(stored.message)]
    collect(record, "facts", stored, {**facts, "word": word, "at": log_time(stored.time)})


def _view(_: str, record: Record) -> Json:
    """The newest card; `suspended` is empty, or when and why."""
    facts = [each for _, each in collected(record, "facts")]
    places = [place for place, each in enumerate(facts) if each["word"] == "registered"]
    if not places:
        return {}
    newest, since = facts[places[-1]], facts[places[-1] + 1 :]
    ours = [each for each in since if each["identity"] == newest["card"]["identity"]]
    audits = [each for each in ours if each["word"] == "audited"]
    suspended = next(({"at": each["at"], "reason": each["reason"]} for each in ours if each["word"] == "suspended"), {})
    return {
        "card": newest["card"],
        "content": newest["content"],
        "registered_at": newest["at"],
        "num_registrations": len(places),
        "audits": {"number": len(audits), "num_labels": sum(each["num_new"] for each in audits)},
        "states": audits[-1]["states"] if audits else [],
        "suspended": suspended,
    }


JUDGES = Fold(
    name="judges",
    version=1,
    key_of=attrgetter("judge_id"),
    view=_view,
    steps={JudgeRegistered: _keep, JudgeAudited: _keep, JudgeSuspended: _keep},
)


def standing_word(facts: Json) -> str:
    """What a judge with these facts may do now."""
    if facts["suspended"]:
        return "suspended"
    if datetime.fromisoformat(facts["card"]["valid_until"]) < datetime.now(UTC):
        return "expired"
    verdicts = [each["verdict"] for each in facts["card"]["criteria"]]
    return next((word for word in ("reject", "assist") if word in verdicts), "replace")


@dataclass(frozen=True)
class JudgeStanding:
    """The newest card of a judge, what was audited since, oldest first, and whether it was suspended."""

    content: str
    card: JudgeCard
    audits: tuple[JudgeAudited, ...] = ()
    is_suspended: bool = False


def standing_of_judge(messages: Sequence[Message]) -> JudgeStanding | None:
    """The same from messages about one judge in the order of the log, for whoever decides; None: never registered."""
    found: JudgeStanding | None = None
    for message in messages:
        if isinstance(message, JudgeRegistered):
            found = JudgeStanding(message.content, message.card)
        elif found is None or not isinstance(message, JudgeAudited | JudgeSuspended):
            continue
        elif message.identity == found.card.identity and isinstance(message, JudgeAudited):
            found = JudgeStanding(found.content, found.card, (*found.audits, message), found.is_suspended)
        elif message.identity == found.card.identity:
            found = JudgeStanding(found.content, found.card, found.audits, True)
    return found
