"""Alarms of the watch: open, acknowledged by somebody, or cleared, and why.

An alarm is known by its id. Should a monitor that lost its tables count from 1 again, the newest alarm of an id is the
one that there is.
"""

from operator import attrgetter
from typing import Literal

from ropewalk.bus.codec import Stored
from ropewalk.events.monitoring import AlarmAcknowledged, AlarmCleared, AlarmRaised
from ropewalk.projections.fold import Fold, Json, Record, held, keep_latest, log_time

AlarmStatus = Literal["open", "acknowledged", "cleared"]


def _raised(record: Record, stored: Stored[AlarmRaised]) -> None:
    alarm = stored.message.model_dump(exclude={"alarm_id", "statistic", "threshold"})
    keep_latest(record, "raised", stored, {**alarm, "raised_at": log_time(stored.time)})


def _cleared(record: Record, stored: Stored[AlarmCleared]) -> None:
    keep_latest(record, "cleared", stored, {"at": log_time(stored.time), "reason": stored.message.reason})


def _acknowledged(record: Record, stored: Stored[AlarmAcknowledged]) -> None:
    said = {"at": log_time(stored.time), "by": stored.message.by, "note": stored.message.note}
    keep_latest(record, "acknowledged", stored, said)


def _view(_: str, record: Record) -> Json:
    raised_as = record.get("raised")
    if raised_as is None:
        return {"status": "cleared", "sequence": 0}  # what went before it is beyond the horizon of the log
    sequence, raised = raised_as
    later = {name for name in ("cleared", "acknowledged") if record.get(name, [0])[0] > sequence}
    status: AlarmStatus = "cleared" if "cleared" in later else "acknowledged" if "acknowledged" in later else "open"
    cleared = held(record, "cleared") if "cleared" in later else {}
    noted = held(record, "acknowledged") if "acknowledged" in later else {}
    return {
        "status": status,
        "sequence": sequence,
        **raised,
        "cleared_at": cleared.get("at"),
        "cleared_because": cleared.get("reason", ""),
        "acknowledged_at": noted.get("at"),
        "acknowledged_by": noted.get("by", ""),
        "note": noted.get("note", ""),
    }


ALARMS = Fold(
    name="alarms",
    version=1,
    key_of=attrgetter("alarm_id"),
    view=_view,
    steps={AlarmRaised: _raised, AlarmCleared: _cleared, AlarmAcknowledged: _acknowledged},
)
